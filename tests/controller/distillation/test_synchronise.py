"""A clock is found where there is light, and never where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.distillation.narrowing import REQUIRED_SIGMA
from qkd_controller.distillation.synchronise import find_clock

PS = 10**12
REACH_PS = PS // 10
WINDOW_PS = 3000


def streams(seed, singles, pairs, seconds, drift_ppm, offset_ps, begin_ps=40 * PS):
    """(reference times, announced times): reference = announced + offset + drift * elapsed."""
    rng = np.random.default_rng(seed)
    reference_singles, announced_singles = singles if isinstance(singles, tuple) else (singles,) * 2

    def times(rate, extra_s):
        length = seconds + 2 * extra_s
        return (rng.uniform(-extra_s, seconds + extra_s, rng.poisson(rate * length)) * PS).astype(
            np.int64
        )

    together = times(pairs, 0.0)
    announced = np.concatenate((together, times(announced_singles - pairs, 0.0)))
    shifted = together + offset_ps + np.rint(drift_ppm * 1e-6 * together).astype(np.int64)
    reference = np.concatenate((shifted, times(reference_singles - pairs, 0.22)))
    for stream in (announced, reference):
        stream += np.rint(rng.normal(0, 700, len(stream))).astype(np.int64)
    announced = announced // 500 * 500 + begin_ps
    return np.sort(reference + begin_ps), np.sort(announced)


def truth(announced, drift_ppm, offset_ps, begin_ps=40 * PS):
    elapsed = announced - begin_ps
    return announced + offset_ps + np.rint(drift_ppm * 1e-6 * elapsed).astype(np.int64)


@pytest.mark.parametrize(
    ("singles", "pairs", "seconds", "drift_ppm", "offset_ms"),
    [
        (100_000, 10_000, 0.3, 19.8, 99.0),
        (100_000, 10_000, 0.3, -19.8, -99.0),
        (30_000, 3_000, 0.4, 7.0, 12.0),
        (100_000, 1_500, 0.8, -11.0, 55.0),
        (300_000, 3_000, 0.5, 13.0, -81.0),  # CAR 5.5
    ],
)
def test_the_clock_is_found(singles, pairs, seconds, drift_ppm, offset_ms):
    offset = round(offset_ms * 1e9)
    reference, announced = streams(3, singles, pairs, seconds, drift_ppm, offset)
    fit = find_clock(reference, announced, 0, REACH_PS, 20.0, WINDOW_PS)
    assert fit is not None
    assert fit.sigma >= REQUIRED_SIGMA
    error = fit.model.to_reference(announced) - truth(announced, drift_ppm, offset)
    assert np.abs(error).max() < 600
    by_chance = singles**2 * 2 * WINDOW_PS / PS
    assert fit.pairs == pytest.approx((pairs + by_chance) * seconds, rel=0.1)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(-99, 99),
    st.floats(-20, 20),
    st.sampled_from([(20_000, 60_000), (60_000, 20_000), (200_000, 200_000), (8_000, 400_000)]),
    st.floats(0.4, 3),
)
def test_any_clock_is_found_at_any_rates(seed, offset_ms, drift_ppm, singles, seconds):
    """Pairs that stand 2.5 times above the coarse search's limit, whatever the CAR is."""
    pairs = max(2.5 * 0.006 * float(np.sqrt(singles[0] * singles[1])), 200)
    offset = round(offset_ms * 1e9)
    streams_ = streams(seed, singles, pairs, seconds, drift_ppm, offset)
    fit = find_clock(*streams_, 0, REACH_PS, 20.0, WINDOW_PS)
    assert fit is not None
    error = fit.model.to_reference(streams_[1]) - truth(streams_[1], drift_ppm, offset)
    assert np.abs(error).max() < WINDOW_PS


def test_dead_time_and_gaps_do_not_hide_a_clock():
    reference, announced = streams(9, 100_000, 4_000, 1.2, -17.0, 3 * 10**10)

    def detected(times, gaps):
        for begin, end in gaps:
            times = times[(times < 40 * PS + begin * PS // 10) | (times > 40 * PS + end * PS // 10)]
        return times[np.insert(np.diff(times) > 1_000_000, 0, True)]

    reference = detected(reference, [(2, 3), (5.5, 6.8)])
    announced = detected(announced, [(8, 9), (5.2, 6.3)])
    fit = find_clock(reference, announced, 0, REACH_PS, 20.0, WINDOW_PS)
    assert fit is not None
    error = fit.model.to_reference(announced) - truth(announced, -17.0, 3 * 10**10)
    assert np.abs(error).max() < WINDOW_PS


@pytest.mark.parametrize("wander", [1e-9, -2e-8])
def test_a_rate_that_wanders_is_found_where_it_is_straight(wander):
    """The fit ends where a straight line leaves the window; about its middle it is exact."""
    reference, announced = streams(10, 60_000, 6_000, 4.0, 6.0, 10**9)
    elapsed = (reference - 42 * PS) / PS
    reference = np.sort(reference + np.rint(wander / 2 * elapsed**2 * PS).astype(np.int64))
    fit = find_clock(reference, announced, 0, REACH_PS, 20.0, WINDOW_PS)
    assert fit is not None
    middle = np.abs(announced - fit.model.t0_ps) < 5 * 10**10
    elapsed = (announced[middle] - 42 * PS) / PS
    true = truth(announced[middle], 6.0, 10**9) + wander / 2 * elapsed**2 * PS
    assert np.abs(fit.model.to_reference(announced[middle]) - true).max() < WINDOW_PS


def test_a_known_rate_needs_less_data():
    reference, announced = streams(4, 60_000, 4_000, 0.15, 15.0, -7 * 10**10)
    rate = 15.05e-6
    fit = find_clock(reference, announced, 10**10, REACH_PS, 20.0, WINDOW_PS, rate)
    assert fit is not None
    error = fit.model.to_reference(announced) - truth(announced, 15.0, -7 * 10**10)
    assert np.abs(error).max() < 600


def test_a_partial_overlap_is_enough():
    reference, announced = streams(5, 60_000, 6_000, 0.4, 5.0, 10**9)
    half = reference[reference > 40 * PS + PS // 5]
    fit = find_clock(half, announced, 0, REACH_PS, 20.0, WINDOW_PS)
    assert fit is not None
    assert np.abs(fit.model.to_reference(announced) - truth(announced, 5.0, 10**9)).max() < 1000


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("known_rate", [None, 3e-6])
def test_uncorrelated_streams_have_no_clock(seed, known_rate):
    reference, announced = streams(seed, (30_000, 100_000)[seed % 2], 0, 0.3, 0.0, 0)
    assert find_clock(reference, announced, 0, REACH_PS, 20.0, WINDOW_PS, known_rate) is None


def test_afterpulsing_and_mains_flicker_are_no_clock():
    rng = np.random.default_rng(8)

    def flickering():
        times = np.sort(rng.uniform(0, 0.6, 60_000))
        times = times[rng.random(len(times)) < 0.5 + 0.5 * np.sin(2 * np.pi * 100 * times)]
        late = times[rng.random(len(times)) < 0.05] + rng.exponential(200e-9, 1)
        return np.sort(np.concatenate((times, late)) * PS).astype(np.int64)

    a, b = flickering(), flickering()
    assert find_clock(a, b[(b > PS // 10) & (b < PS // 2)], 0, REACH_PS, 20.0, WINDOW_PS) is None


def test_no_data_has_no_clock():
    none, one = np.empty(0, np.int64), np.array([5], np.int64)
    for a, b in ((none, none), (one, one), (np.arange(9), np.zeros(9, np.int64))):
        assert find_clock(a, b, 0, REACH_PS, 20.0, WINDOW_PS) is None

"""Clocks from photons: exact arithmetic, found where there is light, never where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.distillation.synchronise import (
    ClockFit,
    ClockModel,
    ClockTracker,
    find_clock,
    significance,
)

PS = 10**12
REACH_PS = PS // 10
WINDOW_PS = 3000


def streams(seed, singles, pairs, seconds, drift_ppm, offset_ps, begin_ps=40 * PS):
    """(reference times, announced times): reference = announced + offset + drift * elapsed."""
    rng = np.random.default_rng(seed)

    def times(rate, extra_s):
        length = seconds + 2 * extra_s
        return (rng.uniform(-extra_s, seconds + extra_s, rng.poisson(rate * length)) * PS).astype(
            np.int64
        )

    together = times(pairs, 0.0)
    announced = np.concatenate((together, times(singles - pairs, 0.0)))
    shifted = together + offset_ps + np.rint(drift_ppm * 1e-6 * together).astype(np.int64)
    reference = np.concatenate((shifted, times(singles - pairs, 0.22)))
    for stream in (announced, reference):
        stream += np.rint(rng.normal(0, 700, len(stream))).astype(np.int64)
    announced = announced // 500 * 500 + begin_ps
    return np.sort(reference + begin_ps), np.sort(announced)


def truth(announced, drift_ppm, offset_ps, begin_ps=40 * PS):
    elapsed = announced - begin_ps
    return announced + offset_ps + np.rint(drift_ppm * 1e-6 * elapsed).astype(np.int64)


models = st.builds(
    ClockModel,
    st.integers(-(10**15), 10**15),
    st.integers(-(10**14), 10**14),
    st.floats(-2e-5, 2e-5),
)


@given(models, st.integers(-(10**15), 10**15))
def test_times_map_exactly_and_back_to_one_picosecond(model, time):
    mapped = model.to_reference_ps(time)
    assert abs(model.to_announced_ps(mapped) - time) <= 1
    array = model.to_reference(np.array([time, time + 1, time + 12_345], np.int64))
    assert array[0] == mapped
    assert np.all(np.diff(array) >= 0)
    moved = model.at(time)
    assert abs(moved.to_reference_ps(time + 10**12) - model.to_reference_ps(time + 10**12)) <= 1


def test_no_picosecond_is_lost_after_a_day():
    model = ClockModel(0, 7, 0.0)
    day = 86_400 * PS
    assert model.to_reference(np.array([day + 1], np.int64))[0] == day + 8


def test_significance_is_a_bound_on_the_poisson_tail():
    assert significance(100, 100) == 0
    assert significance(50, 100) < 0 < significance(150, 100)
    # P(X >= 25 | mean 3) is below exp(-sigma²/2).
    tail, term = 0.0, np.exp(-3.0)
    for count in range(200):
        tail += term if count >= 25 else 0.0
        term *= 3.0 / (count + 1)
    assert tail <= np.exp(-(significance(25, 3.0) ** 2) / 2)


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
    assert fit.sigma >= 8
    error = fit.model.to_reference(announced) - truth(announced, drift_ppm, offset)
    assert np.abs(error).max() < 600
    by_chance = singles**2 * 2 * WINDOW_PS / PS
    assert fit.pairs == pytest.approx((pairs + by_chance) * seconds, rel=0.1)


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


def tracker(jitter=700.0):
    fit = ClockFit(ClockModel(0, 0, 0.0), 50.0, 4000, jitter, PS // 2)
    return ClockTracker(fit, PS // 10)


@pytest.mark.parametrize(("swing", "period_s"), [(5e-9, 12.0), (1e-7, 40.0)])
def test_a_frequency_that_wanders_is_followed(swing, period_s):
    rng = np.random.default_rng(2)
    follower = tracker()
    worst = 0.0
    for index in range(400):
        times = np.sort(rng.integers(index * PS // 10, (index + 1) * PS // 10, 500))
        phase = 2 * np.pi * times / PS / period_s
        wander = swing * period_s / (2 * np.pi) * (1 - np.cos(phase)) * PS
        reference = times + np.rint(wander + rng.normal(0, 700, 500)).astype(np.int64)
        residuals = reference - follower.model.to_reference(times)
        accidental = rng.random(500) < 0.1
        residuals[accidental] = rng.integers(-WINDOW_PS, WINDOW_PS, accidental.sum())
        if index > 5:
            worst = max(worst, abs(float(np.median(residuals))))
        follower.update(times, residuals)
        assert follower.judge(500, 50.0) is None
    assert worst < 500
    assert 500 < follower.residual_rms_ps < 1000


def test_a_lock_is_lost_when_coincidences_vanish_and_kept_when_they_only_drop():
    follower = tracker()
    for coincidences in (800, 790, 200, 40, 500):
        assert follower.judge(coincidences, 8.0) is None
    loss = follower.judge(7, 8.0)
    assert loss is not None and "vanished" in loss.cause


def test_few_counts_are_judged_together():
    follower = ClockTracker(
        ClockFit(ClockModel(0, 0, 0.0), 9.0, 40, 700.0, PS), PS // 10
    )  # four pairs a slice
    for coincidences in (4, 2, 5, 0, 3, 6, 4, 1):
        assert follower.judge(coincidences, 0.5) is None
    verdicts = [follower.judge(0, 0.5) for _ in range(10)]
    assert verdicts[0] is None and any(verdicts)

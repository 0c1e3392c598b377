"""The loops of the clock search against NumPy."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native import search
from qkd_native.tier import forced, supported

seeds = st.integers(0, 2**32)
times = st.lists(st.integers(-3000, 3000), max_size=60).map(lambda t: np.array(sorted(t), np.int64))


def every_tier(run):
    """The portable result, having found that of every tier equal."""
    results = []
    for tier in supported():
        with forced(tier):
            results.append(run())
    for result in results[1:]:
        for ours, portable in zip(result, results[0], strict=True):
            assert np.array_equal(ours, portable)
    return results[0]


@settings(max_examples=100, deadline=None)
@given(times, st.integers(-4000, 4000), st.integers(8, 900), st.integers(0, 40))
def test_each_time_is_counted_in_its_bin(times, origin, width, count):
    bins = search.bin_times(times, origin, width, count)
    inside = times[(times >= origin) & (times < origin + width * count)]
    # 2^64 / width is rounded: a time at the very edge of a bin may be counted a bin lower.
    exact = np.bincount((inside - origin) // width, minlength=count)[:count]
    lower = np.bincount((inside - origin - (inside > origin)) // width, minlength=count)[:count]
    assert abs(int(bins.sum()) - len(inside)) <= 1
    low, high = (
        np.minimum(exact.cumsum(), lower.cumsum()),
        np.maximum(exact.cumsum(), lower.cumsum()),
    )
    assert np.all((low - 1 <= bins.cumsum()) & (bins.cumsum() <= high + 1))


def test_a_full_bin_stays_full():
    assert search.bin_times(np.zeros(1000, np.int64), 0, 100, 2).tolist() == [255, 0]


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(10, 14), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1.2))
def test_a_correlation_is_that_of_numpy_less_its_smooth_part(seed, log2_size, part, lagged, filled):
    draw = np.random.default_rng(seed)
    correlator = search.Correlator(log2_size)
    a = draw.poisson(1.5, max(1, int(part * correlator.size))).astype(np.uint8)
    lags = int(lagged * 3 * (correlator.size - len(a) + 1)) // search.SMOOTH * search.SMOOTH
    b = draw.poisson(1.5, int(filled * (lags + len(a)))).astype(np.uint8)

    def run():
        found, floor = np.empty(lags, np.float32), np.zeros(lags, np.float32)
        correlator.correlate(a, b, found, floor)
        return found, floor

    found, floor = every_tier(run)
    size = 8 * correlator.size
    spectrum = np.conj(np.fft.rfft(a, size)) * np.fft.rfft(b, size)
    exact = np.fft.irfft(spectrum, size)[:lags]
    assert np.allclose(found + floor, exact, atol=1e-5 * (1 + len(a)), rtol=0)
    if lags >= 3 * search.SMOOTH:
        means = exact.reshape(-1, search.SMOOTH).mean(1)
        places = (np.arange(len(means)) + 0.5) * search.SMOOTH - 0.5
        smooth = np.interp(np.arange(lags), places, means)
        assert np.allclose(floor, smooth, atol=1e-4 * (1 + len(a)), rtol=0)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 60), st.integers(1, 700), st.floats(0, 2.5), st.integers(1, 40))
def test_a_line_is_found_where_it_was_drawn(seed, rows, columns, steepest, drifts):
    draw = np.random.default_rng(seed)
    slopes = np.linspace(-steepest, steepest, drifts) if drifts > 1 else np.zeros(1)
    margin = search.margin(rows, float(np.abs(slopes).max()))
    plane = draw.random((rows, columns + 2 * margin), np.float32)
    column, slope = int(draw.integers(columns)), int(draw.integers(drifts))
    at = margin + column + slopes[slope] * (np.arange(rows) - (rows - 1) / 2)
    for row, place in zip(plane, np.rint(at).astype(int), strict=True):
        row[place - 2 : place + 3] += 1000.0  # as wide as lines are rounded
    sums, _ = every_tier(lambda: search.lines(plane, columns, slopes))
    assert sums[column] >= 1000.0 * rows
    assert sums.max() <= 1.42 * 1001.0 * rows


@pytest.mark.parametrize("rows", [1, 9, 64])
def test_a_sum_is_taken_along_the_line_to_within_a_column(rows):
    slopes = np.linspace(-0.8, 0.8, 31)
    margin = search.margin(rows, 0.8)
    width = 50 + 2 * margin
    # Every cell holds its distance from a line, so that a sum tells the distance of its path.
    for slope in slopes[::5]:
        at = margin + 25 + slope * (np.arange(rows) - (rows - 1) / 2)
        distance = np.abs(np.arange(width) - at[:, None])
        found = search.lines((-distance).astype(np.float32), 50, slopes)
        assert found.sums[25] >= -1.0 * rows


@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60), st.floats(-0.09, 0.09))
def test_a_time_is_mapped_to_the_nearest_picosecond(time, origin, rate):
    clock = origin, 12_345, rate
    # The rate is held to 2^-65.
    exact = Fraction(rate) * (time - origin) + time + 12_345
    assert abs(search.map_time(time, clock) - exact) <= Fraction(1, 2) + abs(time - origin) / 2**65
    mapped = search.map_times(np.array([time, time], np.int64), clock)
    assert mapped.tolist() == [search.map_time(time, clock)] * 2


@settings(max_examples=150, deadline=None)
@given(times, times, st.data())
def test_every_pair_is_counted_by_time_and_lag(a, b, data):
    origin, offset = data.draw(st.integers(-3000, 3000)), data.draw(st.integers(-3000, 3000))
    rate = data.draw(st.sampled_from([0.0, 2.0**-10, -(2.0**-5)]))
    begin, low = data.draw(st.integers(-3500, 3000)), data.draw(st.integers(-900, 500))
    row = data.draw(st.integers(1, 2000))
    used = data.draw(st.integers(1, row))
    bits = data.draw(st.integers(0, 8))
    shape = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 30))
    clock = origin, offset, rate
    (found,) = every_tier(lambda: (search.plane(a, b, clock, begin, row, used, low, bits, shape),))
    expected = np.zeros(shape, np.int64)
    for time in a.tolist():
        index, into = divmod(time - begin, row)
        lags = b - (time + offset + int(np.floor((time - origin) * rate + 0.5))) - low
        lags = lags[(lags >= 0) & (lags < shape[1] << bits)] >> bits
        if 0 <= index < shape[0] and into < used:
            np.add.at(expected[index], lags, 1)
    assert np.array_equal(found, expected)


def test_what_does_not_fit_is_refused():
    some, bins, lags = np.arange(9), np.zeros(9, np.uint8), np.zeros(64, np.float32)
    correlator = search.Correlator(10)
    for bad in (
        lambda: search.bin_times(some.astype(np.int32), 0, 100, 1),
        lambda: search.bin_times(some, 0, 1, 1),
        lambda: search.bin_times(some, 1 << 61, 100, 1),
        lambda: search.bin_times(some, 0, 100, -1),
        lambda: search.Correlator(9),
        lambda: correlator.correlate(bins.astype(np.int8), bins, lags, lags),
        lambda: correlator.correlate(bins, bins, lags[:9], lags[:9]),
        lambda: correlator.correlate(bins, bins, lags, np.zeros(128, np.float32)),
        lambda: correlator.correlate(np.zeros(1025, np.uint8), bins, lags, lags),
        lambda: search.lines(np.zeros((0, 9), np.float32), 1, np.zeros(1)),
        lambda: search.lines(np.zeros((9, 9), np.float32), 9, np.zeros(1)),
        lambda: search.lines(np.zeros((9, 20), np.float32), 9, np.ones(1)),
        lambda: search.lines(np.zeros((9, 20), np.float32), 9, np.zeros(0)),
        lambda: search.plane(some, some, (0, 0, 0.2), 0, 1, 1, 0, 0, (1, 1)),
        lambda: search.plane(some, some, (0, 0, 0.0), 0, 1, 2, 0, 0, (1, 1)),
        lambda: search.plane(some, some, (0, 0, 0.0), 0, 1, 1, 0, 0, (1, 5000)),
        lambda: search.plane(some, some, (0, 1 << 61, 0.0), 0, 1, 1, 0, 0, (1, 1)),
    ):
        with pytest.raises(ValueError):
            bad()

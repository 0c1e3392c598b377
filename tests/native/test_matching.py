"""Matching against an all-pairs oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.matching import SliceMatcher, count_coincidences, match
from qkd_native.search import map_times
from qkd_native.tier import Tier, forced, supported

times = st.lists(st.integers(-300, 300), max_size=40).map(lambda t: np.array(sorted(t), np.int64))


def all_pairs(a, b, window):
    near = np.abs(a[:, None] - b[None, :]) <= window
    alone = near & (near.sum(1) == 1)[:, None] & (near.sum(0) == 1)[None, :]
    ia, ib = np.nonzero(alone)
    return ia, ib, int(near.any(1).sum()) - len(ia)


@settings(max_examples=300, deadline=None)
@given(times, times, st.integers(0, 30), st.integers(-50, 50))
def test_each_is_the_others_only_partner(a, b, window, shift):
    ia, ib, ambiguous = all_pairs(a, b, window)
    for tier in supported():
        with forced(tier):
            found = match(a, b, window)
            moved = count_coincidences(a, b, window, (0, shift, 0.0))
        assert np.array_equal(found.ia, ia)
        assert np.array_equal(found.ib, ib)
        assert found.ambiguous == ambiguous
        assert moved == len(all_pairs(a, b + shift, window)[0])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_tier_is_the_portable_one(data):
    """Streams of all densities, lengths and alignments, and times at the ends of the range.

    And the b's on a clock are matched as if they had been mapped before."""
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    streams = []
    for _ in range(2):
        size = data.draw(st.integers(0, 5000))
        mean = data.draw(st.sampled_from([1, 10, 1000]))
        crowded = draw.random(size) < data.draw(st.sampled_from([0, 0.1, 0.9]))
        steps = np.where(crowded, draw.integers(0, 2, size), draw.integers(0, 2 * mean, size))
        # Gaps that no vector version maps across in one piece, once or between any two.
        steps[draw.random(size) < data.draw(st.sampled_from([0, 0.001, 1]))] += 2**31 + mean
        stream = np.cumsum(steps, dtype=np.int64)
        if data.draw(st.booleans()) and size:
            stream += 2**61 - 1 - stream[-1]
        streams.append(stream[data.draw(st.integers(0, 9)) :])
    a, b = streams
    window = data.draw(st.sampled_from([0, 1, 20, 5000, 2**61 - 1]))
    shift = data.draw(st.sampled_from([0, -7, 2**61 - 1, 1 - 2**61]))
    rate = data.draw(st.sampled_from([0.0, 1e-3, -2e-5, 0.09, -0.09]))
    clock = (data.draw(st.sampled_from([0, 5000, -(2**61) + 1])), shift, rate)
    with forced(Tier.PORTABLE):
        wanted = match(a, b, window, clock)
        count = count_coincidences(a, b, window, clock)
    mapped = map_times(b, clock)
    if not len(b) or -(2**61) < mapped[0] <= mapped[-1] < 2**61:
        assert all(map(np.array_equal, match(a, mapped, window)[:2], wanted[:2]))
    for tier in supported():
        with forced(tier):
            found = match(a, b, window, clock)
            assert np.array_equal(found.ia, wanted.ia)
            assert np.array_equal(found.ib, wanted.ib)
            assert found.ambiguous == wanted.ambiguous
            assert count_coincidences(a, b, window, clock) == count


def test_wrong_arrays_are_refused():
    good = np.arange(3, dtype=np.int64)
    with pytest.raises(ValueError, match="int64"):
        match(good.astype(np.float64), good, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="window"):
        match(good, good, -1)
    with pytest.raises(ValueError, match="2\\^61"):
        match(good, np.array([0, 2**62], np.int64), 1)
    with pytest.raises(ValueError, match="rate"):
        match(good, good, 1, (0, 0, 0.1))
    with pytest.raises(ValueError, match="clock"):
        match(good, good, 1, (0, 2**61, 0.0))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_pairs_of_a_slice_are_those_that_indexing_would_pick(data):
    """The fused pass against its NumPy definition, memory used again from slice to slice."""
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    matcher = SliceMatcher(10)
    for _ in range(3):
        a = np.cumsum(draw.integers(0, 60, data.draw(st.integers(0, 300))))
        b = np.sort(a[draw.random(len(a)) < 0.7] + draw.integers(-9, 10))
        codes = draw.integers(0, 8, len(a), dtype=np.uint8)
        low, high = sorted(draw.integers(0, 9000, 2).tolist())
        first, least = draw.integers(0, 200, 2).tolist()
        clock = (int(draw.integers(0, 9000)), int(draw.integers(-5, 6)), 1e-4)
        mapped = map_times(b, clock)
        wanted = match(a, mapped, 10)
        kept = (a[wanted.ia] >= low) & (a[wanted.ia] < high) & (wanted.ib + first >= least)
        ia, ib = wanted.ia[kept], wanted.ib[kept]
        for tier in supported():
            with forced(tier):
                found = matcher.match(a, codes, b, clock, low, high, first, least)
            assert np.array_equal(found.indices, ib + first)
            assert np.array_equal(found.codes, codes[ia])
            residuals = a[ia] - mapped[ib]
            assert np.array_equal(found.residuals, np.bincount(residuals + 10, minlength=21))


@pytest.mark.parametrize("ends", [(2000, 40), (40, 2000), (3000, 3000), (1, 5000), (5000, 1)])
def test_ends_of_very_different_rates_match_alike_in_every_tier(ends):
    """Blocks of one end that span more of the other's than are mapped at a time."""
    draw = np.random.default_rng(5)
    a, b = (np.sort(draw.integers(0, 10**9, 4 * size)) for size in ends)
    for window in (1, 1000, 10**6, 10**8):
        with forced(Tier.PORTABLE):
            wanted = match(a, b, window)
        for tier in supported():
            with forced(tier):
                found = match(a, b, window)
            assert all(map(np.array_equal, found, wanted))


def test_a_crowd_after_many_pairs_is_matched_alike_and_leaves_no_code():
    """Where a vector version has written pairs before it gives the slice up."""
    alone = np.arange(3000, dtype=np.int64) * 10**5
    a = np.concatenate((alone, alone[-1] + 10**5 + np.arange(4000), alone + 10**9))
    codes, matcher = np.full(len(a), 3, np.uint8), SliceMatcher(1000)
    for tier in supported():
        with forced(tier):
            found = matcher.match(a, codes, a, (0, 7, 0.0), 0, 1100 * 10**6)
        assert found.indices.tolist() == [*range(3000), *range(7000, 8000)]
        assert found.residuals[1000 - 7] == 4000 == found.residuals.sum()
        assert np.all(found.codes == 3) and not matcher._codes.any()


def test_codes_of_another_form_and_windows_too_wide_are_refused():
    times, codes = np.arange(5, dtype=np.int64) * 100, np.zeros(5, np.uint8)
    with pytest.raises(ValueError, match="codes"):
        SliceMatcher(10).match(times, codes[:4], times, (0, 0, 0.0), 0, 1000)
    with pytest.raises(ValueError, match="window"):
        SliceMatcher(2**25)

"""Times as announced ticks: against the NumPy definitions, and nothing hostile taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native import deltas
from qkd_native.ticks import TickCoder, append

resolutions = st.one_of(st.integers(1, 1000), st.integers(1, 2**53), st.sampled_from([500, 2**52]))
sorted_times = st.lists(st.integers(-(2**60), 2**60), max_size=60).map(sorted)


@given(sorted_times, resolutions)
def test_ticks_are_times_divided_and_rounded_down(numbers, resolution_ps):
    """There: floor division, then delta coding. Back: the beginnings of the ticks."""
    times = np.array(numbers, np.int64)
    ticks = times // resolution_ps
    coder = TickCoder(resolution_ps)
    first, coding = coder.encode(times)
    assert first == (int(ticks[0]) if numbers else 0)
    assert coding == deltas.encode(ticks, first)
    if all(abs(int(tick)) * resolution_ps <= 2**61 for tick in ticks):
        assert np.array_equal(coder.decode(coding, len(times), first), ticks * resolution_ps)


@given(st.integers(1, 2**40), st.integers(-(2**59), 2**59), st.lists(st.integers(0, 2**13)))
def test_times_next_to_a_tick_fall_on_its_right_side(resolution_ps, origin_ps, steps):
    """Where a quotient of doubles could round up to the next whole number."""
    edges = origin_ps + np.cumsum(np.array([0, *steps], np.int64)) * resolution_ps
    edges = edges[np.abs(edges) < 2**60] // resolution_ps * resolution_ps
    times = np.sort(np.concatenate([edges - 1, edges, edges + 1]))
    first, coding = TickCoder(resolution_ps).encode(times)
    assert coding == deltas.encode(times // resolution_ps, first)


def test_the_least_and_the_largest_times_have_ticks():
    times = np.array([-(2**63), -(2**63) + 1, -1], np.int64)
    first, coding = TickCoder(500).encode(times)
    assert coding == deltas.encode(times // 500, first)
    times = np.array([0, 2**63 - 1], np.int64)
    assert TickCoder(1).encode(times) == (0, deltas.encode(times))


def test_what_it_cannot_take_is_refused():
    coder = TickCoder(500)
    with pytest.raises(ValueError, match="1 ps"):
        TickCoder(0)
    with pytest.raises(ValueError, match="int64"):
        coder.encode(np.zeros(2))
    with pytest.raises(ValueError, match="decrease"):
        coder.encode(np.array([1000, 0], np.int64))
    with pytest.raises(ValueError, match="cannot hold"):
        coder.decode(b"\x00", 10**15, 0)
    with pytest.raises(ValueError, match="beyond"):
        coder.decode(deltas.encode(np.array([2**62], np.int64), 2**62), 1, 2**62)
    first, coding = coder.encode(np.arange(100, dtype=np.int64))
    with pytest.raises(ValueError):
        coder.decode(coding[:-1], 100, first)


@given(st.lists(st.integers(-5, 20), max_size=30), st.integers(-5, 20))
def test_times_are_held_if_and_only_if_they_do_not_fall(numbers, earliest_ps):
    times, held = np.array(numbers, np.int64), np.full(len(numbers), -99, np.int64)
    if numbers == sorted(numbers) and (not numbers or numbers[0] >= earliest_ps):
        append(times, earliest_ps, held)
        assert np.array_equal(held, times)
    else:
        with pytest.raises(ValueError, match="out of order"):
            append(times, earliest_ps, held)
    with pytest.raises(ValueError, match="as many"):
        append(times, earliest_ps, np.empty(len(numbers) + 1, np.int64))

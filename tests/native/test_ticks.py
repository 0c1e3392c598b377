"""Times as announced ticks: against the NumPy definitions, and nothing hostile taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native import deltas
from qkd_native.ticks import TickCoder, copy
from qkd_native.tier import forced, supported

resolutions = st.one_of(st.integers(1, 1000), st.integers(1, 2**53), st.sampled_from([500, 2**52]))
sorted_times = st.lists(st.integers(-(2**60), 2**60), max_size=60).map(sorted)


@given(sorted_times, resolutions)
def test_ticks_are_times_divided_and_rounded_down(numbers, resolution_ps):
    """There: floor division, then delta coding. Back: the beginnings of the ticks."""
    times, back = np.array(numbers, np.int64), np.empty(len(numbers), np.int64)
    ticks = times // resolution_ps
    coder = TickCoder(resolution_ps)
    for tier in supported():
        with forced(tier):
            first, coding = coder.encode(times)
            assert first == (int(ticks[0]) if numbers else 0)
            assert coding == deltas.encode(ticks, first)
            if all(abs(int(tick)) * resolution_ps <= 2**61 for tick in ticks):
                coder.decode(coding, first, back)
                assert np.array_equal(back, ticks * resolution_ps)


@given(st.integers(1, 2**40), st.integers(-(2**59), 2**59), st.lists(st.integers(0, 2**13)))
def test_times_next_to_a_tick_fall_on_its_right_side(resolution_ps, origin_ps, steps):
    """Where an inexact quotient could round up to the next whole number."""
    edges = origin_ps + np.cumsum(np.array([0, *steps], np.int64)) * resolution_ps
    edges = edges[np.abs(edges) < 2**60] // resolution_ps * resolution_ps
    times = np.sort(np.concatenate([edges - 1, edges, edges + 1]))
    for tier in supported():
        with forced(tier):
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
    room = np.empty(100, np.int64)
    with pytest.raises(ValueError, match="int64"):
        coder.decode(b"", 0, room[::2])
    for tick in (2**62, 10**30, -(2**62)):
        with pytest.raises(ValueError, match="beyond"):
            coder.decode(b"", tick, room[:0])
    far = 2**61 // 500
    assert coder.decode(deltas.encode(np.array([far], np.int64), far), far, room[:1]) is None
    with pytest.raises(ValueError, match="not a coding"):
        coder.decode(deltas.encode(np.array([far + 1], np.int64), far), far, room[:1])
    first, coding = coder.encode(np.arange(100, dtype=np.int64))
    for bytes_, count in ((coding[:-1], 100), (coding + b"\x00", 100), (coding, 99)):
        with pytest.raises(ValueError, match="not a coding"):
            coder.decode(bytes_, first, room[:count])


@given(st.lists(st.integers(-5, 200), max_size=70), st.booleans())
def test_times_are_copied_if_and_only_if_they_do_not_fall(numbers, in_order):
    times = np.array(sorted(numbers) if in_order else numbers, np.int64)
    for tier in supported():
        held = np.full(len(times), -99, np.int64)
        with forced(tier):
            if np.all(times[1:] >= times[:-1]):
                copy(times, held)
                assert np.array_equal(held, times)
            else:
                with pytest.raises(ValueError, match="out of order"):
                    copy(times, held)
            with pytest.raises(ValueError, match="as many"):
                copy(times, np.empty(len(times) + 1, np.int64))

"""An event stream against a plain list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.acquisition.stream import EventStream

actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 9), max_size=1500)),
        st.tuples(st.just("drop"), st.integers(-5, 50_000)),
        st.tuples(st.just("drop below"), st.integers(0, 20_000)),
    ),
    max_size=8,
)


@given(actions, st.integers(0, 40_000), st.integers(0, 20_000))
def test_events_keep_their_index_and_order(todo, low, span):
    stream = EventStream(3, 0, 10)
    everything: list[int] = []
    kept = 0
    for what, argument in todo:
        if what == "add":
            start = everything[-1] if everything else 10
            times = start + np.cumsum(np.array(argument, np.int64), dtype=np.int64)
            stream.add(times, (times % 7).astype(np.uint8))
            everything += times.tolist()
        elif what == "drop":
            stream.drop_before(argument)
            while kept < len(everything) and everything[kept] < argument:
                kept += 1
        else:
            stream.drop_below(argument)
            kept = max(kept, min(argument, len(everything)))
        held = stream.since(0)
        assert held.first_index == kept == stream.first_index
        assert held.times.tolist() == everything[kept:]
        assert np.array_equal(held.codes, held.times % 7)
        assert stream.next_index == len(everything)
        assert kept == len(everything) or stream.complete_from_ps <= everything[kept] + 1
    some = stream.between(low, low + span)
    assert some.times.tolist() == [t for t in everything[kept:] if low <= t < low + span]
    if len(some.times):
        assert everything[some.first_index] == some.times[0]


def test_a_steady_stream_takes_no_new_memory():
    """Touching new memory is slow; events that come as fast as they go move within the old."""
    stream, step = EventStream(1, 0, 0), 10_000
    rooms, moves = set(), 0
    for begin in range(0, 100 * step, step):
        before, first, end = stream._codes, stream._begin, stream._end
        stream.add(np.arange(begin, begin + step, dtype=np.int64), np.full(step, 3, np.uint8))
        if stream._codes is before and stream._begin < first:
            moves += 1
            assert not before[max(first, stream._end) : end].any(), "what has moved is wiped"
        stream.drop_before(begin - 2 * step)
        if begin >= 10 * step:
            rooms.add(id(stream._times))
        held = stream.since(0)
        assert held.times.tolist() == list(range(max(0, begin - 2 * step), begin + step))
        assert held.codes.all()
    assert len(rooms) == 1 and moves > 2


def test_disorder_wrong_arrays_and_late_events_are_refused():
    stream = EventStream(1, 0, 100)
    codes = np.zeros(2, np.uint8)
    with pytest.raises(ValueError, match="order"):
        stream.add(np.array([99, 100], np.int64), codes)
    with pytest.raises(ValueError, match="order"):
        stream.add(np.array([105, 104], np.int64), codes)
    with pytest.raises(ValueError, match="int64"):
        stream.add(np.array([105.0, 106.0]), codes)  # type: ignore[arg-type]
    stream.add(np.array([105, 106], np.int64), codes, complete_until_ps=200)
    with pytest.raises(ValueError, match="order"):
        stream.add(np.array([199, 210], np.int64), codes)
    with pytest.raises(ValueError, match="last event"):
        stream.end(105, True, "")
    stream.end(300, True, "")
    with pytest.raises(ValueError, match="has ended"):
        stream.add(np.array([400, 401], np.int64), codes)
    with pytest.raises(ValueError, match="ended already"):
        stream.end(500, True, "")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(1, 50), st.booleans())
def test_what_is_written_into_a_stream_is_as_if_added(steps, count, coded):
    """Also of the other end's events, which have no codes; and a writer that fails adds nothing."""
    count = min(count, len(steps))
    times = 10 + np.cumsum(np.array(steps, np.int64))
    added, filled = EventStream(3, 0, 10), EventStream(3, 0, 10, coded=coded)
    rooms = []

    def write(room, codes):
        assert room.shape == times.shape and len(codes) == coded * len(times)
        room[:] = times
        codes[:] = times[: len(codes)] % 7
        rooms.append(codes)
        return count, 1000

    def fail(room, codes):
        room[:] = -1
        raise ValueError("no such bytes")

    with pytest.raises(ValueError, match="no such"):
        filled.fill(len(times), fail)
    added.add(times[:count], (times[:count] % 7).astype(np.uint8), 1000)
    filled.fill(len(times), write)
    assert np.array_equal(filled.since(0).times, added.since(0).times)
    assert np.array_equal(filled.since(0).codes, added.since(0).codes[: coded * count])
    assert filled.complete_until_ps == added.complete_until_ps == 1000
    assert filled.bytes_held == (8 + coded) * count
    with pytest.raises(ValueError, match="order"):
        filled.fill(len(times), write)
    assert filled.next_index == count and not rooms[-1].any()


def test_codes_of_dropped_and_moved_events_are_wiped():
    stream = EventStream(1, 0, 0)
    stream.add(np.arange(4000, dtype=np.int64), np.full(4000, 3, np.uint8))
    before = stream.since(0).codes
    stream.drop_below(1000)
    assert not before[:1000].any() and before[1000:].all()
    stream.add(np.arange(4000, 9000, dtype=np.int64), np.full(5000, 3, np.uint8))
    assert not before.any(), "the codes have moved to a larger array"
    after = stream.since(0).codes
    assert after.all()
    stream.drop_before(9000)
    assert not after.any()

"""Memory for tags: used again, but never while anybody holds it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.arrays import TagMemory

_TAGS = 16


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_what_is_held_is_nobody_elses(steps: list[tuple[bool, int]]) -> None:
    """Whole, in part or as a view of a view: it keeps what was written to it."""
    memory = TagMemory(_TAGS)
    held: list[tuple[np.ndarray, int]] = []
    for count, (more, which) in enumerate(steps):
        if more:
            times, channels = memory.take().arrays(_TAGS)
            times[:], channels[:] = count, count
            held.append(((times, channels, times[3:][1:], channels[2:][::2])[which % 4], count))
            del times, channels
        elif held:
            held.pop(which % len(held))
        assert all((array == value).all() for array, value in held)


def test_what_nobody_holds_is_used_again() -> None:
    """No more memory than was held at one time, however often it is taken."""
    memory = TagMemory(_TAGS)
    places = set()
    for count in range(1, _TAGS):
        pairs = [memory.take().arrays(count) for _ in range(3)]
        assert all(len(array) == count for pair in pairs for array in pair)
        assert {array.dtype.type for pair in pairs for array in pair} == {np.int64, np.uint8}
        places |= {times.ctypes.data for times, _ in pairs}
        del pairs
    assert len(places) == 3

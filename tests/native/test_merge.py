"""Channels merged by time: nothing lost, nothing moved, whatever the pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.merge import TagMerger, tag_order

times = st.lists(st.integers(0, 2**62), max_size=40)
channels = st.lists(times.map(sorted), min_size=1, max_size=4)


def words(values: list[int]) -> bytes:
    return np.array(values, "<u8").tobytes()


@given(channels, st.integers(0, 2**40), st.integers(1, 50))
def test_tags_come_in_the_order_of_time_and_then_of_channel(
    tags: list[list[int]], offset_ps: int, limit: int
) -> None:
    """Equal to sorting all pairs of time and channel, however many are taken at a time."""
    merger = TagMerger([words(channel) for channel in tags], offset_ps)
    got = []
    while merger.left:
        some, numbers = merger.take(limit)
        assert len(some) == len(numbers) <= limit
        got += list(zip(some.tolist(), numbers.tolist(), strict=True))
    expected = [(t + offset_ps, c) for c, channel in enumerate(tags, 1) for t in channel]
    assert got == sorted(expected)
    assert [len(array) for array in merger.take(limit)] == [0, 0]


@given(st.lists(times, min_size=1, max_size=4))
def test_no_tag_is_lost_where_a_channel_is_out_of_order(tags: list[list[int]]) -> None:
    """Each channel's tags come out whole and as they came in."""
    merger = TagMerger([words(channel) for channel in tags])
    got, numbers = merger.take(1000)
    for number, channel in enumerate(tags, 1):
        assert got[numbers == number].tolist() == channel


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_the_order_of_words_is_told(values: list[int]) -> None:
    """The largest word, and the farthest that one lies before an earlier one."""
    order = tag_order(words(values))
    assert order.largest_ps == max(values, default=0)
    falls = [max(values[:i]) - value for i, value in enumerate(values) if i]
    assert order.step_back_ps == max([0, *falls])


def test_torn_words_and_wrong_numbers_of_channels_are_refused() -> None:
    """A piece of a word has no time; a fifth channel has no number."""
    with pytest.raises(ValueError, match="9 bytes"):
        tag_order(bytes(9))
    with pytest.raises(ValueError, match="12 bytes"):
        TagMerger([bytes(8), bytes(12)])
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"{count} channels"):
            TagMerger([b""] * count)

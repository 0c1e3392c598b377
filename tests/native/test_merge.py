"""Channels merged by time: nothing lost, nothing moved, whatever the pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.merge import LIMIT_PS, TagMerger
from qkd_native.tier import Tier, forced, supported

times = st.lists(st.integers(0, LIMIT_PS - 1), max_size=40)
channels = st.lists(times.map(sorted), min_size=1, max_size=4)
pieces = st.integers(1, 50)
in_every_tier = pytest.mark.parametrize("tier", supported())


def words(values: list[int]) -> bytes:
    return np.array(values, "<u8").tobytes()


def merged(
    merger: TagMerger, tags: list[list[int]], offset_ps: int = 0, at_a_time: int = 1 << 20
) -> list[tuple[int, int]]:
    """All tags of a stretch as pairs of time and channel; so many bytes come at a time."""
    coming = [words(channel) for channel in tags]
    merger.begin([len(data) for data in coming], offset_ps)
    got = []
    while not merger.done:
        for i, data in enumerate(coming):
            piece = merger.room(i + 1)[:at_a_time]
            piece[:] = data[: len(piece)]
            coming[i] = data[len(piece) :]
            merger.came(i + 1, len(piece))
        some, numbers = merger.take()
        assert len(some) == len(numbers)
        got += list(zip(some.tolist(), numbers.tolist(), strict=True))
    assert [len(array) for array in merger.take()] == [0, 0]
    assert not any(coming)
    return got


@in_every_tier
@given(st.lists(st.tuples(channels, st.integers(0, 2**40)), max_size=3), pieces, pieces, pieces)
def test_tags_come_in_the_order_of_time_and_then_of_channel(
    tier: Tier,
    stretches: list[tuple[list[list[int]], int]],
    room: int,
    limit: int,
    at_a_time: int,
) -> None:
    """Equal to sorting all pairs of time and channel, however little comes and goes at a time;
    each stretch by itself, and moved by its offset."""
    with forced(tier):
        merger = TagMerger(room, limit)
        for tags, offset_ps in stretches:
            got = merged(merger, tags, offset_ps, at_a_time)
            expected = [(t + offset_ps, c) for c, channel in enumerate(tags, 1) for t in channel]
            assert got == sorted(expected)


@in_every_tier
@given(st.integers(0, 2**32), st.lists(st.integers(0, 3000), min_size=1, max_size=4))
def test_long_channels_of_unlike_rates_too(tier: Tier, seed: int, counts: list[int]) -> None:
    """With many equal times among them."""
    random = np.random.default_rng(seed)
    tags = [np.sort(random.integers(0, 4000, count)).tolist() for count in counts]
    with forced(tier):
        got = merged(TagMerger(700, 900), tags)
    assert got == sorted((t, c) for c, channel in enumerate(tags, 1) for t in channel)


@in_every_tier
@given(st.lists(times, min_size=1, max_size=4), pieces)
def test_no_tag_is_lost_where_a_channel_is_out_of_order(
    tier: Tier, tags: list[list[int]], room: int
) -> None:
    """Each channel's tags come out whole and as they came in."""
    with forced(tier):
        got = merged(TagMerger(room, 100), tags)
    for number, channel in enumerate(tags, 1):
        assert [t for t, c in got if c == number] == channel


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (1_000_000, "channel 2: a tag lies at 1000000 ps, none may from 1000000 on"),
        (2**64 - 1, "channel 2: a tag lies at 18446744073709551615 ps"),
        (19_894, "channel 2: a tag lies 101 ps before an earlier one"),
    ],
)
@in_every_tier
def test_a_tag_that_cannot_be_ends_the_stream_once_it_is_its_turn(
    tier: Tier, bad: int, complaint: str
) -> None:
    """What comes before it is given out; then it is named, again and again."""
    first = list(range(0, 30_000, 10))
    second = [*range(5, 20_000, 5), bad]
    with forced(tier):
        merger = TagMerger(5000, 10_000, limit_ps=1_000_000, reorder_ps=100)
        merger.begin([8 * len(first), 8 * len(second)], 7)
        for channel, data in ((1, words(first)), (2, words(second))):
            merger.room(channel)[:] = data
            merger.came(channel, len(data))
        got, numbers = merger.take()
        until_ps = 30_000 if bad > 30_000 else 20_000
        expected = [(t, 1) for t in first] + [(t, 2) for t in second[:-1]]
        expected = sorted((t + 7, c) for t, c in expected if t < until_ps)
        assert list(zip(got.tolist(), numbers.tolist(), strict=True)) == expected
        for _ in range(2):
            with pytest.raises(ValueError, match=complaint):
                merger.take()


def test_no_more_is_held_than_there_is_memory_for() -> None:
    """A slow channel waits for the others with two pieces at most."""
    merger = TagMerger(10, 100)
    merger.begin([8000, 8000], 0)
    for _ in range(3):
        piece = merger.room(1)
        merger.came(1, len(piece))
    assert len(merger.room(1)) == 0 and len(merger.room(2)) == 80
    assert len(merger.room(3)) == 0
    assert len(merger.take()[0]) == 0


def test_stretches_that_cannot_be_are_refused() -> None:
    """A piece of a word has no time; the next stretch waits for its turn."""
    merger = TagMerger(10, 100)
    with pytest.raises(ValueError, match="channel 2: 12 bytes"):
        merger.begin([8, 12], 0)
    merger.begin([8], 0)
    with pytest.raises(ValueError, match="goes on"):
        merger.begin([8], 0)
    with pytest.raises(ValueError, match="beyond"):
        TagMerger(10, 100, limit_ps=LIMIT_PS + 1)

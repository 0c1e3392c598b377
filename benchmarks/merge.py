"""Channels to one stream in the order of time, beside NumPy's sort."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.merge import TagMerger

_RATE_HZ = 10e6
_CHUNK_TAGS = 1 << 17


def cases() -> Iterator[Case]:
    for count, where in ((1 << 14, "cache-resident"), (1 << 21, "streaming")):
        yield _case(f"4 channels of {count} words, 10 MHz each, {where}", count)


def _case(workload: str, count: int) -> Case:
    draw = np.random.default_rng(1)
    channels = [np.cumsum(draw.exponential(1e12 / _RATE_HZ, count)).astype("<u8") for _ in range(4)]
    frames = [memoryview(channel).cast("B") for channel in channels]
    merger = TagMerger(count, _CHUNK_TAGS)

    def ours() -> int:
        """With the words copied to where they are merged, as from a socket."""
        merger.begin([len(frame) for frame in frames], 0)
        for channel, frame in enumerate(frames, 1):
            merger.room(channel)[:] = frame
            merger.came(channel, len(frame))
        tags = 0
        while not merger.done:
            tags += len(merger.take()[0])
        return tags

    def numpy() -> tuple[np.ndarray, np.ndarray]:
        times = np.concatenate(channels)
        order = np.argsort(times, kind="stable")
        return times[order], np.repeat(np.arange(1, 5, dtype=np.uint8), count)[order]

    assert ours() == 4 * count
    size = 4 * 8 * count
    copied_s = 2 * size / harness.copy_bytes_per_s(size)
    read_s = size / harness.read_bytes_per_s(size)
    return Case(
        "merge channels",
        workload,
        ours,
        (Peer("NumPy sort", numpy),),
        "tag",
        4 * count,
        4 * count / (copied_s + read_s),
        "words copied, and read again",
    )

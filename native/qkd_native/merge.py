"""Tags that come channel by channel, as uint64 ps, made one stream in the order of time."""

from collections.abc import Sequence

import numpy as np

from qkd_native._kernels import ffi, lib
from qkd_native.arrays import Channels, TagMemory, Times
from qkd_native.tier import current

LIMIT_PS = 1 << 62
"""Below this lies every time that can be merged."""
_CHANNELS = 4
_WORD_BYTES = 8


class TagMerger:
    """The words of channels 1 to 4 (uint64 ps, little-endian) as tags in the order of time.

    They come in stretches, each of a known size, and in pieces of up to ``words`` words, cut
    anywhere, which are written straight into the merger's memory: room for two a channel. A word of
    limit_ps or more is refused, and one that lies more than reorder_ps before an earlier one of its
    channel and stretch; one that lies less far back stays out of order, and none is lost.
    """

    def __init__(
        self, words: int, tags: int, *, limit_ps: int = LIMIT_PS, reorder_ps: int = LIMIT_PS
    ) -> None:
        """Gives out at most so many tags at a time."""
        if not 0 <= limit_ps <= LIMIT_PS:
            raise ValueError(f"a limit of {limit_ps} ps is beyond {LIMIT_PS}")
        self._piece_bytes = _WORD_BYTES * words
        # Where they are worth it, NumPy asks for large pages.
        self._memory = [np.empty(2 * self._piece_bytes, np.uint8).data for _ in range(_CHANNELS)]
        self._merge = ffi.new(
            "qkd_merge *",
            {
                "bytes": [ffi.from_buffer("uint8_t[]", memory) for memory in self._memory],
                "limit_ps": limit_ps,
                "reorder_ps": reorder_ps,
            },
        )
        self._begin, self._end = self._merge.begin, self._merge.end
        self._to_come = self._merge.to_come
        self._left = 0
        self._tags = tags
        self._out = TagMemory(tags)

    def begin(self, sizes_bytes: Sequence[int], offset_ps: int) -> None:
        """A stretch of so many bytes of channel 1 and those after it; offset_ps is added to times.

        ValueError for a size that is no whole number of words, or while the last stretch goes on.
        """
        if not self.done:
            raise ValueError("the last stretch goes on")
        for channel, size_bytes in enumerate(sizes_bytes, 1):
            if size_bytes % _WORD_BYTES:
                raise ValueError(f"channel {channel}: {size_bytes} bytes are no whole tags")
        for i, size_bytes in enumerate(sizes_bytes):
            self._to_come[i] = size_bytes
            self._merge.largest_ps[i] = 0
        self._merge.offset_ps = offset_ps
        self._left = sum(sizes_bytes) // _WORD_BYTES

    @property
    def done(self) -> bool:
        """Whether all of the stretch has come and been taken."""
        return not self._left

    def room(self, channel: int) -> memoryview:
        """Where a channel's next piece goes: empty while it has enough, or none is to come."""
        i = channel - 1
        memory, begin, end = self._memory[i], self._begin[i], self._end[i]
        held = end - begin
        if held > self._piece_bytes:
            return memory[:0]
        if begin:
            memory[:held] = memory[begin:end]
            self._begin[i], self._end[i] = 0, held
        return memory[held : held + min(self._piece_bytes, self._to_come[i])]

    def came(self, channel: int, size_bytes: int) -> None:
        """So many bytes have been written to the channel's room, no more than it has."""
        i = channel - 1
        self._end[i] += size_bytes
        self._to_come[i] -= size_bytes

    def take(self) -> tuple[Times, Channels]:
        """The next tags, up to where a channel's next word is not here yet: times (int64 ps) and
        channels (uint8), none if that is so at once.

        They belong to whoever holds them or a view of them; then their memory is used again.
        ValueError, which says why, once the next tag is refused.
        """
        out, merge = self._out.take(), self._merge
        count = lib.qkd_merge_tags(current(), merge, self._tags, out.times, out.channels)
        if not count and merge.refused:
            raise ValueError(self._refusal(merge.refused))
        self._left -= count
        return out.arrays(count)

    def _refusal(self, channel: int) -> str:
        merge, i = self._merge, channel - 1
        at = merge.begin[i]
        word = int.from_bytes(self._memory[i][at : at + _WORD_BYTES], "little")
        if word >= merge.limit_ps:
            return f"channel {channel}: a tag lies at {word} ps, none may from {merge.limit_ps} on"
        fall_ps = merge.largest_ps[i] - word
        return f"channel {channel}: a tag lies {fall_ps} ps before an earlier one"

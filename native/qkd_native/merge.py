"""Tags that come channel by channel, as uint64 ps, made one stream in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qkd_native._kernels import ffi, lib
from qkd_native.arrays import Channels, Times
from qkd_native.decode import Data

_CHANNELS = 4
_WORD_BYTES = 8


@dataclass(frozen=True)
class TagOrder:
    """How far the words of one channel are in order."""

    largest_ps: int
    step_back_ps: int
    """The farthest that a word lies before an earlier one; 0 if they never fall."""


def tag_order(data: Data) -> TagOrder:
    """The order of whole little-endian uint64 words; ValueError if the last one is torn."""
    order = ffi.new("qkd_tag_order *")
    lib.qkd_tag_order_of(ffi.from_buffer(data), _words(data), order)
    return TagOrder(int(order.largest_ps), int(order.step_back_ps))


class TagMerger:
    """The words of channels 1 to 4 (uint64 ps, little-endian) as tags in the order of time.

    data[i] belongs to channel i + 1; offset_ps is added to each time. Words must lie below 2^63 - 1
    (`tag_order` tells). Of a channel that is out of order no tag is lost, but its tags stay out of
    order. ValueError for more channels, or a torn word.
    """

    def __init__(self, data: Sequence[Data], offset_ps: int = 0) -> None:
        if not 1 <= len(data) <= _CHANNELS:
            raise ValueError(f"{len(data)} channels are not 1 to {_CHANNELS}")
        counts = [_words(words) for words in data]
        self._buffers = [ffi.from_buffer("uint8_t[]", words) for words in data]
        self._words = ffi.new("uint8_t *[]", self._buffers)
        self._counts = ffi.new("size_t[]", counts)
        self._taken = ffi.new("size_t[]", len(data))
        self._offset_ps = offset_ps
        self.left = sum(counts)
        """Tags not taken yet."""

    def take(self, limit: int) -> tuple[Times, Channels]:
        """The next tags, at most limit: times (int64 ps) and channels (uint8) in new arrays."""
        count = min(limit, self.left)
        times, channels = np.empty(count, np.int64), np.empty(count, np.uint8)
        lib.qkd_merge_tags(
            len(self._buffers),
            self._words,
            self._counts,
            self._taken,
            self._offset_ps,
            count,
            ffi.from_buffer("int64_t[]", times),
            ffi.from_buffer("uint8_t[]", channels),
        )
        self.left -= count
        return times, channels


def _words(data: Data) -> int:
    count, torn = divmod(len(data), _WORD_BYTES)
    if torn:
        raise ValueError(f"{len(data)} bytes are no whole number of words")
    return count

"""Arrays that kernels write tags to."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
Out = tuple[Times, Channels]
"""Arrays of the caller's to write to: a steady stream needs no fresh memory for each piece."""


class TagMemory:
    """Memory for so many tags at a time.

    It belongs to whoever holds an array in it, or any view of one, for as long as they do. No more
    is kept than was held at one time.
    """

    def __init__(self, tags: int) -> None:
        self._tags = tags
        self._blocks: list[TagBlock] = []

    def take(self) -> "TagBlock":
        """Memory that nobody else holds."""
        for block in self._blocks:
            if block.idle:
                return block
        self._blocks.append(TagBlock(self._tags))
        return self._blocks[-1]


class TagBlock:
    """Where a kernel writes tags: ``times`` (int64_t *) and ``channels`` (uint8_t *)."""

    def __init__(self, tags: int) -> None:
        self._times: Times = np.empty(tags, np.int64)
        self._channels: Channels = np.empty(tags, np.uint8)
        self.times: Any = ffi.from_buffer("int64_t[]", self._times)
        self.channels: Any = ffi.from_buffer("uint8_t[]", self._channels)
        # Every view holds the array whose memory it sees.
        self._alone = sys.getrefcount(self._times), sys.getrefcount(self._channels)

    @property
    def idle(self) -> bool:
        """Whether nobody holds any of the arrays given out."""
        return self._alone == (sys.getrefcount(self._times), sys.getrefcount(self._channels))

    def arrays(self, count: int) -> tuple[Times, Channels]:
        """The first count times (int64 ps) and channels (uint8)."""
        return self._times[:count], self._channels[:count]


def room(tags: int, out: Out | None) -> Out:
    """Arrays with room for so many tags: out if it is given, ValueError if it will not do."""
    if out is None:
        return np.empty(tags, np.int64), np.empty(tags, np.uint8)
    if out[0].dtype != np.int64 or out[1].dtype != np.uint8:
        raise ValueError("out must be int64 and uint8 arrays")
    for shape, flags in ((out[0].shape, out[0].flags), (out[1].shape, out[1].flags)):
        if len(shape) != 1 or shape[0] < tags:
            raise ValueError(f"out must be flat arrays with room for {tags} tags")
        if not (flags.c_contiguous and flags.writeable):
            raise ValueError("out must be contiguous and writeable")
    return out


def outputs(times: Times, channels: Channels) -> tuple[object, object]:
    """What a kernel takes for them."""
    return ffi.from_buffer("int64_t[]", times), ffi.from_buffer("uint8_t[]", channels)

"""Arrays that kernels write tags to."""

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
Out = tuple[Times, Channels]
"""Arrays of the caller's to write to: a steady stream needs no fresh memory for each piece."""


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

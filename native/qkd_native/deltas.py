"""Compact coding of sorted integers: detection times in ticks, and lists of indices.

For Poisson gaps within 0.1 bits of their entropy (Rice codes, in blocks of 256 values; the layout
stands in deltas_impl.h). A value takes at least one bit.
"""

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current


def room(count: int) -> int:
    """The bytes that encoding count values may write to."""
    return int(lib.qkd_deltas_room(count))


def encode(
    values: npt.NDArray[np.int64], start: int = 0, scratch: npt.NDArray[np.uint8] | None = None
) -> bytes:
    """Non-decreasing int64 values, the first not below start, as bytes.

    scratch, of room(len(values)) bytes, saves taking memory. Raises ValueError for any other array,
    and where a value is 2^63 or more above start.
    """
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError("values are a flat int64 array")
    buffer = np.empty(room(len(values)), np.uint8) if scratch is None else scratch
    if buffer.dtype != np.uint8 or len(buffer) < room(len(values)):
        raise ValueError(f"a scratch for {len(values)} values has {room(len(values))} bytes")
    length = lib.qkd_deltas_encode(
        current(),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(values)),
        len(values),
        start,
        ffi.from_buffer("uint8_t[]", buffer),
    )
    if length < 0:
        raise ValueError("values must not decrease, nor begin below start, nor rise by 2^63")
    return buffer[:length].tobytes()


def check_count(data: bytes, count: int) -> None:
    """Raises ValueError for a count that cannot be true: ask before memory is taken for it."""
    if not 0 <= count <= 8 * len(data):
        raise ValueError(f"{len(data)} bytes cannot hold {count} values")


def decode(
    data: bytes, count: int, start: int = 0, out: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """The count values that encode made data of, in out if it is given, which is as long.

    Raises ValueError for bytes that encode never makes.
    """
    check_count(data, count)
    values = np.empty(count, np.int64) if out is None else out
    if values.dtype != np.int64 or values.shape != (count,):
        raise ValueError(f"{count} values do not fit into {values.shape} of {values.dtype}")
    if lib.qkd_deltas_decode(
        current(),
        ffi.from_buffer("uint8_t[]", data),
        len(data),
        count,
        start,
        ffi.from_buffer("int64_t[]", values),
    ):
        raise ValueError(f"these {len(data)} bytes are not a coding of {count} values")
    return values

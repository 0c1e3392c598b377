"""Compact coding of sorted integers: detection times in ticks, and lists of indices.

For Poisson gaps within 0.1 bits of their entropy (Rice codes, in blocks of 256 values; the layout
stands in deltas_impl.h). A value takes at least one bit.
"""

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current


def encode(values: npt.NDArray[np.int64], start: int = 0) -> bytes:
    """Non-decreasing int64 values, the first not below start, as bytes.

    Raises ValueError for any other array, and where a value is 2^63 or more above start.
    """
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError("values are a flat int64 array")
    buffer = np.empty(lib.qkd_deltas_room(len(values)), np.uint8)
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


def decode(data: bytes, count: int, start: int = 0) -> npt.NDArray[np.int64]:
    """The count values that encode made data of; ValueError for bytes that it never makes."""
    # Nothing is allocated for a count that cannot be true.
    if not 0 <= count <= 8 * len(data):
        raise ValueError(f"{len(data)} bytes cannot hold {count} values")
    values = np.empty(count, np.int64)
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

"""Detection times as they are announced: in whole ticks, delta-coded; and how they are held."""

import numpy as np
import numpy.typing as npt

from qkd_native import deltas
from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

Times = npt.NDArray[np.int64]

_TIME_LIMIT_PS = 1 << 61


class TickCoder:
    """Codes sorted int64 times in ps as ticks of resolution_ps, rounded down, and back.

    Memory is taken once: it costs more to touch new memory than to code what stands in it.
    """

    def __init__(self, resolution_ps: int) -> None:
        if resolution_ps < 1:
            raise ValueError("a tick is at least 1 ps")
        self._resolution_ps = resolution_ps
        self._bytes: npt.NDArray[np.uint8] = np.empty(deltas.room(0), np.uint8)

    def encode(self, times: Times) -> tuple[int, bytes]:
        """The first tick (0 of no times) and the coding from it on; ValueError unless sorted."""
        if times.dtype != np.int64 or times.ndim != 1:
            raise ValueError("times are flat int64 arrays")
        if len(self._bytes) < deltas.room(len(times)):
            self._bytes = np.empty(deltas.room(len(times)), np.uint8)
        first = ffi.new("int64_t *")
        length = lib.qkd_ticks_encode(
            current(),
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(times)),
            len(times),
            self._resolution_ps,
            first,
            ffi.from_buffer("uint8_t[]", self._bytes),
        )
        if length < 0:
            raise ValueError("times must not decrease, nor rise by 2^63 ticks")
        return int(first[0]), self._bytes[:length].tobytes()

    def decode(self, data: bytes, first_tick: int, out: Times) -> None:
        """The beginnings in ps of as many ticks as fit into out, the first not before first_tick.

        Raises ValueError for bytes that encode never makes, or times beyond ±2^61 ps; out is of no
        use then.
        """
        if out.dtype != np.int64 or out.ndim != 1 or not out.flags.c_contiguous:
            raise ValueError("times are flat int64 arrays")
        if not -_TIME_LIMIT_PS <= first_tick * self._resolution_ps <= _TIME_LIMIT_PS:
            raise ValueError("a time beyond ±2^61 ps")
        if lib.qkd_ticks_decode(
            current(),
            ffi.from_buffer("uint8_t[]", data),
            len(data),
            len(out),
            first_tick,
            self._resolution_ps,
            _TIME_LIMIT_PS,
            ffi.from_buffer("int64_t[]", out),
        ):
            raise ValueError(
                f"these {len(data)} bytes are not a coding of {len(out)} times within ±2^61 ps"
            )


def copy(times: Times, held: Times) -> None:
    """Copies sorted times into held, which is as long.

    Raises ValueError for times that fall; held is of no use then.
    """
    if times.dtype != np.int64 or held.dtype != np.int64 or times.shape != held.shape:
        raise ValueError("times are int64, and as many as are held")
    if lib.qkd_ticks_copy(
        current(),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(times)),
        len(times),
        ffi.from_buffer("int64_t[]", held),
    ):
        raise ValueError("times are out of order")

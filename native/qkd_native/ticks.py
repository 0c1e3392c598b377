"""Detection times as they are announced: in whole ticks, delta-coded; and how they are held."""

import numpy as np
import numpy.typing as npt

from qkd_native import deltas
from qkd_native._kernels import ffi, lib

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
        self._ticks: Times = np.empty(0, np.int64)
        self._bytes: npt.NDArray[np.uint8] = np.empty(deltas.room(0), np.uint8)

    def encode(self, times: Times) -> tuple[int, bytes]:
        """The first tick (0 of no times) and the coding from it on; ValueError unless sorted."""
        if times.dtype != np.int64 or times.ndim != 1:
            raise ValueError("times are flat int64 arrays")
        count = len(times)
        ticks = self._room(count)
        lib.qkd_ticks_of(
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(times)),
            count,
            self._resolution_ps,
            ffi.from_buffer("int64_t[]", ticks),
        )
        first = int(ticks[0]) if count else 0
        return first, deltas.encode(ticks, first, self._bytes)

    def decode(self, data: bytes, count: int, first_tick: int) -> Times:
        """The beginnings of count ticks in ps, as a view good until the next call.

        Raises ValueError for bytes that encode never makes, or times beyond ±2^61 ps.
        """
        deltas.check_count(data, count)
        ticks = deltas.decode(data, count, first_tick, self._room(count))
        for tick in (ticks[:1], ticks[-1:]):
            if len(tick) and abs(int(tick[0])) * self._resolution_ps > _TIME_LIMIT_PS:
                raise ValueError("a time beyond ±2^61 ps")
        lib.qkd_ticks_times(ffi.from_buffer("int64_t[]", ticks), len(ticks), self._resolution_ps)
        return ticks

    def _room(self, count: int) -> Times:
        if len(self._ticks) < count:
            self._ticks = np.empty(count, np.int64)
            self._bytes = np.empty(deltas.room(count), np.uint8)
        return self._ticks[:count]


def append(times: Times, earliest_ps: int, held: Times) -> None:
    """Copies sorted times, the first not below earliest_ps, into held, which is as long.

    Raises ValueError for times that fall; held is of no use then.
    """
    if times.dtype != np.int64 or held.dtype != np.int64 or times.shape != held.shape:
        raise ValueError("times are int64, and as many as are held")
    if lib.qkd_ticks_append(
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(times)),
        len(times),
        earliest_ps,
        ffi.from_buffer("int64_t[]", held),
    ):
        raise ValueError("times are out of order")

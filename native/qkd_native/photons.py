"""Seeded generator of photon pairs and of the clicks that two ends' detectors make of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

Eight = tuple[float, float, float, float, float, float, float, float]
Clicks = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]

_CHUNK = 1 << 16


@dataclass(frozen=True)
class PhotonTable:
    """The optical table during one call of `PhotonSource.generate`.

    Tuples of eight run over the detectors (end 0: z0 z1 x0 x1, then end 1); ``correlation`` is
    ``E = P(same) - P(different)`` for (z, z), (z, x), (x, z), (x, x).
    """

    pair_rate_hz: float
    transmission: tuple[float, float]
    basis_z_probability: tuple[float, float]
    correlation: tuple[float, float, float, float]
    efficiency: Eight
    dark_rate_hz: Eight
    jitter_ps: Eight
    dead_time_ps: tuple[int, int, int, int, int, int, int, int]
    afterpulse_probability: Eight = (0.0,) * 8
    afterpulse_decay_ps: Eight = (50_000.0,) * 8

    def __post_init__(self) -> None:
        for name in ("transmission", "basis_z_probability", "efficiency", "afterpulse_probability"):
            if not all(0 <= value <= 1 for value in getattr(self, name)):
                raise ValueError(f"{name} must lie in 0 to 1")
        if not all(-1 <= value <= 1 for value in self.correlation):
            raise ValueError("correlation must lie in -1 to 1")
        if not all(0 <= sigma <= 100_000 for sigma in self.jitter_ps):
            raise ValueError("jitter_ps must lie in 0 to 100 000")
        if min(self.pair_rate_hz, *self.dark_rate_hz, *self.dead_time_ps) < 0:
            raise ValueError("rates and dead times must not be negative")
        if max(self.pair_rate_hz, *self.dark_rate_hz) > 1e9:
            raise ValueError("rates must not exceed 1 GHz")


class PhotonSource:
    """Clicks at both ends; one seed gives one sequence, however the time is cut into calls."""

    def __init__(self, seed: int, start_ps: int = 0) -> None:
        self._state = ffi.new("qkd_photon_state *")
        self._table = ffi.new("qkd_photon_table *")
        self._times = np.empty(2 * _CHUNK, dtype=np.int64)
        self._channels = np.empty(2 * _CHUNK, dtype=np.uint8)
        self._counts = ffi.new("size_t[2]")
        self._loaded: PhotonTable | None = None
        lib.qkd_photons_seed(self._state, seed % 2**64, start_ps)

    @property
    def now_ps(self) -> int:
        """The time up to which clicks have been given out."""
        return int(self._state.now_ps)

    @property
    def lost(self) -> int:
        """Clicks dropped for want of room between calls; not 0 only at absurd rates."""
        return int(self._state.lost)

    def generate(self, table: PhotonTable, until_ps: int) -> tuple[Clicks, Clicks]:
        """The clicks of each end in [now_ps, until_ps): sorted times in ps, channels 1 to 4.

        Raises ValueError if until_ps lies before now_ps.
        """
        if until_ps < self.now_ps:
            raise ValueError(f"until_ps {until_ps} lies before {self.now_ps}")
        self._load(table)
        parts: tuple[list[Clicks], list[Clicks]] = ([], [])
        while True:
            lib.qkd_photons_generate(
                int(current()),
                self._state,
                self._table,
                until_ps,
                _CHUNK,
                ffi.from_buffer("int64_t[]", self._times),
                ffi.from_buffer("uint8_t[]", self._channels),
                self._counts,
            )
            for end, part in enumerate(parts):
                kept = slice(end * _CHUNK, end * _CHUNK + int(self._counts[end]))
                part.append((self._times[kept].copy(), self._channels[kept].copy()))
            if self.now_ps >= until_ps:
                return _joined(parts[0]), _joined(parts[1])

    def _load(self, table: PhotonTable) -> None:
        if table is self._loaded:
            return
        self._loaded = table
        target: Any = self._table
        for name, value in vars(table).items():
            setattr(target, name, value)


def on_clock(
    true_ps: npt.NDArray[np.int64],
    *,
    at_ps: int,
    own_ps: int,
    remainder_ps: float,
    rate_error: float,
) -> npt.NDArray[np.int64]:
    """The readings, at true times, of a clock that stood at own_ps + remainder_ps at at_ps.

    It gains rate_error of whatever time passes; readings are rounded to whole ps, halves to even.
    """
    true_ps = np.ascontiguousarray(true_ps, dtype=np.int64)
    own = np.empty_like(true_ps)
    lib.qkd_photons_on_clock(
        ffi.from_buffer("int64_t[]", true_ps),
        true_ps.size,
        at_ps,
        own_ps,
        remainder_ps,
        rate_error,
        ffi.from_buffer("int64_t[]", own),
    )
    return own


def _joined(parts: list[Clicks]) -> Clicks:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([t for t, _ in parts]), np.concatenate([c for _, c in parts])

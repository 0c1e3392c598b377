"""Two drifting streams of one pair source, as the taggers at both ends would give them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clock:
    """Stream time of a true time t (s): offset, rate error, and a frequency that wanders."""

    offset_s: float = 0.0
    drift_ppm: float = 0.0
    wander_ppb: float = 0.0
    period_s: float = 10.0

    def stream_ps(self, true_s: npt.NDArray[np.float64]) -> Times:
        phase = 2 * np.pi * true_s / self.period_s
        wander = self.wander_ppb * 1e-9 * self.period_s / (2 * np.pi) * (1 - np.cos(phase))
        # Kept in two parts, so that the picoseconds survive.
        whole = np.floor(true_s * 1e3)
        rest = (true_s * 1e3 - whole) * 1e9
        small = (self.offset_s + self.drift_ppm * 1e-6 * true_s + wander) * 1e12
        return whole.astype(np.int64) * 10**9 + np.rint(rest + small).astype(np.int64)


@dataclass(frozen=True)
class Source:
    """Rates in 1/s; singles include the pairs."""

    pairs: float
    singles_a: float
    singles_b: float
    jitter_ps: float = 800.0
    resolution_ps: int = 2000
    error_ratio: float = 0.02

    def emit(
        self, rng: np.random.Generator, begin_s: float, end_s: float, a: Clock, b: Clock
    ) -> tuple[tuple[Times, Codes], tuple[Times, Codes]]:
        """Events (times, codes) at a and at b; paired codes of equal basis agree but for errors."""
        span = end_s - begin_s
        count = rng.poisson(self.pairs * span)
        together = rng.uniform(begin_s, end_s, count)
        codes = rng.integers(0, 4, count, np.uint8)
        basis = rng.integers(0, 2, count, np.uint8)
        flip = (rng.random(count) < self.error_ratio).astype(np.uint8)
        random_bit = rng.integers(0, 2, count, np.uint8)
        same = codes >> 1 == basis
        peer = np.where(same, (codes & 1) ^ flip, random_bit) | basis << 1
        return (
            self._end(rng, begin_s, end_s, a, self.singles_a - self.pairs, together, codes),
            self._end(rng, begin_s, end_s, b, self.singles_b - self.pairs, together, peer),
        )

    def _end(
        self,
        rng: np.random.Generator,
        begin_s: float,
        end_s: float,
        clock: Clock,
        alone_rate: float,
        together: npt.NDArray[np.float64],
        codes: Codes,
    ) -> tuple[Times, Codes]:
        alone = rng.uniform(begin_s, end_s, rng.poisson(alone_rate * (end_s - begin_s)))
        times = clock.stream_ps(np.concatenate((together, alone)))
        times = times + np.rint(rng.normal(0, self.jitter_ps, len(times))).astype(np.int64)
        times = times // self.resolution_ps * self.resolution_ps
        every = np.concatenate((codes, rng.integers(0, 4, len(alone), np.uint8))).astype(np.uint8)
        order = np.argsort(times, kind="stable")
        times, every = times[order], every[order]
        apart = np.concatenate(([True], np.diff(times) >= 60_000))
        return times[apart], every[apart]

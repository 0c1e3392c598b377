"""A clock followed from the residuals of matched pairs."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from qkd_controller.distillation.clock import ClockFit, significance

Counts = npt.NDArray[np.uint32]

_HALF_SIGMA = 3.0


@dataclass(frozen=True)
class LockLoss:
    """Why a clock is no longer followed."""

    cause: str


class ClockTracker:
    """Follows a clock from the residuals of matched pairs, slice by slice.

    A Kalman filter over offset and rate; the rate takes a random walk of rate_wander a √s. Each
    slice's median residual is one measurement, so that accidentals hardly pull.
    """

    def __init__(self, fit: ClockFit, slice_ps: int, rate_wander: float = 1e-8) -> None:
        self.model = fit.model
        self.residual_rms_ps = fit.jitter_ps
        self._wander_variance = (rate_wander * 1e-6) ** 2  # (ps/ps)² per ps: (1/√s)² = 1e-12 / ps
        self._covariance = np.diag([fit.offset_variance_ps2, fit.rate_variance])
        self._expected = fit.pairs * slice_ps / fit.span_ps
        self._doubtful = (0.0, 0.0, 0.0)

    def update(self, announced_ps: int, residuals: Counts) -> None:
        """Takes the residuals (reference time minus mapped time) of a slice's matched pairs.

        announced_ps is the announced time of the middle pair; residuals[i] counts the pairs with
        i - len(residuals) // 2 ps.
        """
        counted = _Sorted(residuals)
        count = counted.count
        if count < 3:
            return
        self._move_to(announced_ps)
        twice_median = counted.twice_median()
        median = twice_median / 2
        spread = 1.4826 * counted.twice_median_distance(twice_median) / 4
        self.residual_rms_ps = max(spread, 1.0)
        # The median of n normal deviates has variance (π/2) σ²/n; never trust it beyond 1 ps.
        noise = math.pi / 2 * self.residual_rms_ps**2 / count + 1.0
        gain = self._covariance[:, 0] / (self._covariance[0, 0] + noise)
        self.model = self.model.moved(gain[0] * median, gain[1] * median)
        self._covariance = self._covariance - np.outer(gain, self._covariance[0, :])

    def judge(self, coincidences: int, accidentals: float) -> LockLoss | None:
        """Whether coincidences have vanished: fewer than there were, no more than accidentals.

        Slices with too few counts to tell are judged together.
        """
        expected = self._expected
        counted = self._doubtful[0] + coincidences
        by_chance = self._doubtful[1] + max(accidentals, 0.5)
        hoped = self._doubtful[2] + expected
        if significance(counted, by_chance) >= _HALF_SIGMA:
            self._doubtful = (0.0, 0.0, 0.0)
            self._expected = 0.9 * expected + 0.1 * coincidences
            return None
        if hoped > by_chance and significance(counted, (hoped + by_chance) / 2) <= -_HALF_SIGMA:
            self._doubtful = (0.0, 0.0, 0.0)
            return LockLoss(
                f"coincidences vanished: {counted:.0f} where {hoped:.0f} were expected, "
                f"{by_chance:.0f} of them by chance"
            )
        self._doubtful = (counted, by_chance, hoped)
        return None

    def _move_to(self, t0_ps: int) -> None:
        elapsed = float(t0_ps - self.model.t0_ps)
        self.model = self.model.at(t0_ps)
        step = np.array([[1.0, elapsed], [0.0, 1.0]])
        q, dt = self._wander_variance, abs(elapsed)
        noise = q * np.array([[dt**3 / 3, dt * elapsed / 2], [dt * elapsed / 2, dt]])
        self._covariance = step @ self._covariance @ step.T + noise


class _Sorted:
    """Values from -n to n in order, of which there are so many each; its results are exact."""

    def __init__(self, counts: Counts) -> None:
        self._most = len(counts) // 2
        self._below = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=self._below[1:])
        self.count = int(self._below[-1])

    def twice_median(self) -> int:
        """Twice the median of the values."""
        middle = ((self.count - 1) // 2, self.count // 2)
        places = np.searchsorted(self._below[1:], middle, "right")
        return int(places.sum()) - 2 * self._most

    def twice_median_distance(self, centre: int) -> int:
        """Twice the median of |2 value - centre|, where |centre| <= 2 n."""
        distances = range(4 * self._most + 1)
        middle = ((self.count - 1) // 2, self.count // 2)
        return sum(bisect_right(distances, m, key=partial(self._within, centre)) for m in middle)

    def _within(self, centre: int, distance: int) -> int:
        """How many values have |2 value - centre| <= distance."""
        first = self._most - (distance - centre) // 2
        last = self._most + (distance + centre) // 2
        return int(self._below[min(last + 1, 2 * self._most + 1)] - self._below[max(first, 0)])

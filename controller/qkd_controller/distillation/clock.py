"""A clock that was found: how the announcing end's times map to those of the reference end.

Significance is that of a count n where mu was expected: sqrt(2 (n ln(n/mu) - n + mu)), the
Gaussian equivalent of the Chernoff bound on a Poisson tail, which holds for small counts too.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qkd_native.search import map_time, map_times

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClockModel:
    """Announcing-end times b in reference time: b + offset_ps + rate * (b - t0_ps)."""

    t0_ps: int
    offset_ps: int
    rate: float

    @property
    def terms(self) -> tuple[int, int, float]:
        """As the kernels take it."""
        return self.t0_ps, self.offset_ps, self.rate

    def to_reference(self, times: Times) -> Times:
        """Reference times, exact to 1 ps over days: the drift is taken in integers."""
        return map_times(times, self.terms)

    def to_reference_ps(self, time_ps: int) -> int:
        """One reference time."""
        return map_time(time_ps, self.terms)

    def to_announced_ps(self, time_ps: int) -> int:
        """The announcing end's time at a reference time, to 1 ps."""
        shifted = time_ps - self.offset_ps - self.t0_ps
        return self.t0_ps + shifted - round(shifted * (self.rate / (1.0 + self.rate)))

    def at(self, t0_ps: int) -> "ClockModel":
        """The same model, referred to another time t0_ps of the announcing end."""
        return ClockModel(t0_ps, self.to_reference_ps(t0_ps) - t0_ps, self.rate)

    def moved(self, offset_ps: float, rate: float) -> "ClockModel":
        """The model with its offset at t0_ps and its rate changed by these."""
        return ClockModel(self.t0_ps, self.offset_ps + round(offset_ps), float(self.rate + rate))


@dataclass(frozen=True)
class ClockFit:
    """A clock that was found, and how sure that is."""

    model: ClockModel
    sigma: float
    pairs: int
    jitter_ps: float
    """Standard deviation of the residuals of the pairs."""
    span_ps: int
    """Span of the announced times that it was found in."""
    share: float = 1.0
    """Share of the pairs that was measured; their number is estimated from that."""

    @property
    def offset_variance_ps2(self) -> float:
        """Variance of the offset at the model's t0_ps."""
        return self.jitter_ps**2 / (self.pairs * self.share)

    @property
    def rate_variance(self) -> float:
        """Variance of the rate, of a line through evenly spread residuals."""
        return 12.0 * self.offset_variance_ps2 / self.span_ps**2


def significance(count: float, expected: float) -> float:
    """How far count lies above (or, negative, below) an expected Poisson mean, in σ."""
    if expected <= 0:
        return math.inf if count > 0 else 0.0
    deviance = expected - count + (count * math.log(count / expected) if count > 0 else 0.0)
    return math.copysign(math.sqrt(2.0 * max(deviance, 0.0)), count - expected)

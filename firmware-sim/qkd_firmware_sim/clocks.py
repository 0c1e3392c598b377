"""The taggers' clocks: each runs a little wrong, and wanders."""

import math

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.table import Clock
from qkd_native.photons import on_clock


class DriftingClock:
    """Maps true time to a clock's own, piecewise linearly and exactly to the picosecond.

    The rate error is a constant plus a stationary Ornstein–Uhlenbeck process.
    """

    def __init__(self, clock: Clock, random: np.random.Generator) -> None:
        self._random = random
        self._wander = clock.wander_ppb * 1e-9
        self._wander_time_s = clock.wander_time_s
        self._error = clock.error_ppm * 1e-6
        self._wandered = self._wander * float(random.standard_normal())
        self._true_ps = 0
        self._own_ps = round(clock.offset_ms * PS_PER_S / 1000)
        self._remainder_ps = 0.0

    @property
    def rate_error(self) -> float:
        """Relative error of the rate at this moment."""
        return self._error + self._wandered

    def to_own(self, true_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This clock's readings at true times near its last step."""
        return on_clock(
            true_ps,
            at_ps=self._true_ps,
            own_ps=self._own_ps,
            remainder_ps=self._remainder_ps,
            rate_error=self.rate_error,
        )

    def step_to(self, true_ps: int) -> int:
        """Moves on to a true time, lets the rate wander, and returns the clock's reading."""
        elapsed = true_ps - self._true_ps
        gained = elapsed * self.rate_error + self._remainder_ps
        self._remainder_ps = gained - round(gained)
        self._own_ps += elapsed + round(gained)
        self._true_ps = true_ps
        decay = math.exp(-elapsed / PS_PER_S / self._wander_time_s)
        noise = self._wander * math.sqrt(1.0 - decay * decay)
        self._wandered = self._wandered * decay + noise * float(self._random.standard_normal())
        return self._own_ps

    def disturb(self, step_ps: int, error_ppm: float) -> None:
        """A jump of the reading and a lasting change of the rate."""
        self._own_ps += step_ps
        self._error += error_ppm * 1e-6

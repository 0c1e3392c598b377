"""Polarisation alignment: each squeezer in turn to the minimum of its own sinusoid.

A squeezer turned by the angle φ changes the mean error rate as a + b cos(φ − φ₀), whatever the
others stand at, since a rotation enters the correlation linearly in cos φ and sin φ. Three
settings a quarter turn apart therefore give its minimum in closed form (the coordinate step that
Ostaszewski, Grant, Benedetti, Quantum 5, 391 (2021) call Rotosolve).
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from qkd_controller.config.errors import QkdError

IDLE_SWEEP_RATIO = 0.003
"""A sweep that gains less has found the bottom of where it is."""


class AlignmentFailed(QkdError):
    """No usable measurement came back."""


@dataclass(frozen=True)
class Errors:
    """Sifted bits and errors a basis, from disclosed test slices."""

    sifted_z: int
    errors_z: int
    sifted_x: int
    errors_x: int

    def qber_ratio(self) -> float:
        """Mean of the two bases' error rates; raises AlignmentFailed without data."""
        if not self.sifted_z or not self.sifted_x:
            raise AlignmentFailed("no coincidences in both bases on the test slices")
        return (self.errors_z / self.sifted_z + self.errors_x / self.sifted_x) / 2

    def clearly_above(self, ratio: float, bases: str = "zx", sigmas: float = 2.0) -> bool:
        """Whether one of these bases errs more often, by over so many standard deviations.

        Negative sigmas turn the burden of proof: true unless all are clearly below.
        """
        return any(
            errors - sifted * ratio > sigmas * math.sqrt(sifted * ratio * (1 - ratio))
            for basis, sifted, errors in (
                ("z", self.sifted_z, self.errors_z),
                ("x", self.sifted_x, self.errors_x),
            )
            if basis in bases
        )

    def worst_ratio(self) -> float:
        """The larger error rate of the two bases; 0.5 for a basis without data."""
        z = self.errors_z / self.sifted_z if self.sifted_z else 0.5
        x = self.errors_x / self.sifted_x if self.sifted_x else 0.5
        return max(z, x)


@dataclass(frozen=True)
class AlignmentOutcome:
    """Where the search ended."""

    voltages_mv: tuple[float, ...]
    qber_ratio: float
    steps: int


Probe = Callable[[], Awaitable[Errors]]
SetVoltage = Callable[[int, float], Awaitable[None]]


async def align(
    voltages_mv: list[float],
    half_wave_voltage_mv: float,
    set_voltage: SetVoltage,
    probe: Probe,
    good_enough_ratio: float,
    max_sweeps: int = 6,
) -> AlignmentOutcome:
    """Sweeps over the channels until the error rate is good enough, or max_sweeps are spent.

    set_voltage takes a channel index from 0 and millivolts within ± half_wave_voltage_mv, a full
    turn; probe measures the present setting.
    """
    voltages = list(voltages_mv)
    steps = 1
    here = (await probe()).qber_ratio()
    best, best_voltages = here, list(voltages)
    for sweep in range(max_sweeps):
        before = here
        for channel in range(len(voltages)):
            here = await _minimise(
                channel, here, voltages, half_wave_voltage_mv, set_voltage, probe
            )
            steps += 2
        here = (await probe()).qber_ratio()
        steps += 1
        if here < best:
            best, best_voltages = here, list(voltages)
        if best <= good_enough_ratio:
            break
        if before - here < IDLE_SWEEP_RATIO and sweep + 1 < max_sweeps:
            # Where two axes have fallen together the sweeps creep; a quarter turn frees them.
            channel = sweep % len(voltages)
            voltages[channel] = _wrapped(
                voltages[channel] + half_wave_voltage_mv / 2, half_wave_voltage_mv
            )
            await set_voltage(channel, voltages[channel])
            here = (await probe()).qber_ratio()
            steps += 1
    if voltages != best_voltages:
        for channel, voltage in enumerate(best_voltages):
            await set_voltage(channel, voltage)
    return AlignmentOutcome(tuple(best_voltages), best, steps)


async def _minimise(
    channel: int,
    here: float,
    voltages: list[float],
    half_wave_mv: float,
    set_voltage: SetVoltage,
    probe: Probe,
) -> float:
    """Brings one channel to its minimum; returns the error rate expected there."""
    centre = voltages[channel]
    quarter = half_wave_mv / 2
    await set_voltage(channel, _wrapped(centre + quarter, half_wave_mv))
    above = (await probe()).qber_ratio()
    await set_voltage(channel, _wrapped(centre - quarter, half_wave_mv))
    below = (await probe()).qber_ratio()
    mean = (above + below) / 2
    sine, cosine = (above - below) / 2, here - mean
    amplitude = math.hypot(sine, cosine)
    turn = math.atan2(-sine, -cosine) * half_wave_mv / math.pi
    voltages[channel] = _wrapped(centre + turn, half_wave_mv)
    await set_voltage(channel, voltages[channel])
    return mean - amplitude


def _wrapped(voltage_mv: float, half_wave_mv: float) -> float:
    """The same rotation within one full turn around zero."""
    return math.remainder(voltage_mv, 2 * half_wave_mv)

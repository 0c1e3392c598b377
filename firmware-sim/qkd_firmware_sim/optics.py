"""Light on the table: pair rate, polarisation, an eavesdropper, and loss.

Stokes space: S1 horizontal/vertical, S2 diagonal, S3 circular. The z basis measures along S1, the x
basis along S2. The source emits the Bell state Φ+, for which the correlation of measurements along
a and b is aᵀ T b with T = diag(1, 1, -1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.table import Source

Matrix = npt.NDArray[np.float64]

BASES: tuple[Matrix, Matrix] = (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
PHI_PLUS: Matrix = np.diag([1.0, 1.0, -1.0])

_SQUEEZER_AXES = (0, 1, 0, 1)


@dataclass(frozen=True)
class Response:
    """What a detector does with light at this moment."""

    efficiency: float
    dark_cps: float


def rotation(vector: Sequence[float] | Matrix) -> Matrix:
    """The rotation about a vector by its length in rad (Rodrigues' formula)."""
    x, y, z = (float(v) for v in vector)
    angle = math.sqrt(x * x + y * y + z * z)
    if angle == 0.0:
        return np.eye(3)
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]) / angle
    turned: Matrix = np.eye(3) + math.sin(angle) * k + (1.0 - math.cos(angle)) * (k @ k)
    return turned


def retarder(retardance_rad: float, angle_rad: float) -> Matrix:
    """A wave plate whose fast axis stands at an angle: a turn about (cos 2θ, sin 2θ, 0)."""
    x, y = math.cos(2 * angle_rad), math.sin(2 * angle_rad)
    return rotation((retardance_rad * x, retardance_rad * y, 0.0))


def squeezers(voltages_mv: Sequence[float], half_wave_voltage_mv: float) -> Matrix:
    """A chain of fibre squeezers: turns about S1, S2, S1, S2 by π V / V_half each."""
    total = np.eye(3)
    for axis, voltage_mv in zip(_SQUEEZER_AXES, voltages_mv, strict=True):
        vector = [0.0, 0.0, 0.0]
        vector[axis] = math.pi * voltage_mv / half_wave_voltage_mv
        total = rotation(vector) @ total
    return total


def correlations(
    visibility: float, channel: Matrix, attack_fraction: float = 0.0
) -> tuple[float, float, float, float]:
    """E for the bases (z, z), (z, x), (x, z), (x, x) of Alice and Bob.

    The channel turns Bob's photon before he measures it. An eavesdropper at its beginning measures
    the given fraction in z or x at random and sends on what she found (intercept-resend).
    """
    values = []
    for a in BASES:
        for b in BASES:
            seen = channel.T @ b
            honest = a @ PHI_PLUS @ seen
            resent = sum(0.5 * (a @ PHI_PLUS @ c) * (c @ seen) for c in BASES)
            e = visibility * ((1.0 - attack_fraction) * honest + attack_fraction * resent)
            values.append(min(1.0, max(-1.0, float(e))))
    zz, zx, xz, xx = values
    return zz, zx, xz, xx


@dataclass(frozen=True)
class Emission:
    """What leaves the source."""

    pair_rate_hz: float
    visibility: float


def emission(source: Source, pump_a: float, laser_c: float, crystal_c: float) -> Emission:
    """Pairs and their visibility for a pump current and the two temperatures.

    Phase matching is a Gaussian in the crystal's temperature, of full width at half maximum
    ``phase_matching_width_c``; the laser's wavelength shifts it only a little.
    """
    pumped = max(0.0, pump_a - source.threshold_a) * source.pairs_per_s_per_a
    matched = _gaussian(crystal_c - source.crystal_optimum_c, source.phase_matching_width_c)
    tuned = _gaussian(laser_c - source.laser_optimum_c, source.laser_width_c)
    visibility = source.visibility - source.visibility_loss_per_a * pump_a
    return Emission(pumped * matched * tuned, max(0.0, visibility))


def _gaussian(x: float, full_width: float) -> float:
    return math.exp(-4.0 * math.log(2.0) * (x / full_width) ** 2)

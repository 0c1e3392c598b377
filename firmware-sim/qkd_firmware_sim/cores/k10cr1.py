"""Thorlabs K10CR1: a half-wave plate in a rotation mount with a stepper motor."""

import math
import struct

from qkd_firmware_sim.cores.apt import AptCore, Motor
from qkd_firmware_sim.optics import Matrix, retarder

COUNTS_PER_DEG = 409600 / 3
VELOCITY_FACTOR = 7329109
ACCELERATION_FACTOR = 1502


class K10cr1(AptCore):
    """The mount's firmware; its optical side is `turn`."""

    model = "K10CR1"
    counts_per_deg = COUNTS_PER_DEG
    degrees_per_s = 10.0

    def __init__(self, serial_number: str, *, speed: float = 1.0) -> None:
        super().__init__(serial_number, (1,), speed=speed)
        self._orders |= {
            0x0413: self._set_velocity,
            0x0414: lambda _: self._send(0x0415, struct.pack("<Hiii", 1, *self._velocity)),
            0x043A: self._set_backlash,
            0x043B: lambda _: self._send(0x043C, struct.pack("<Hi", 1, self._backlash)),
            0x0440: self._set_home,
            0x0441: lambda _: self._send(0x0442, struct.pack("<HHHii", 1, *self._home_way)),
            0x04B9: lambda _: None,  # writes a setting to permanent memory
        }
        self._restart()

    def turn(self, half_wave_voltage_mv: float) -> Matrix:
        """What the plate does to the polarisation."""
        return retarder(math.pi, math.radians(self.angles_deg[0]))

    def _restart(self) -> None:
        self._velocity = (0, 10 * ACCELERATION_FACTOR, 10 * VELOCITY_FACTOR)
        self._backlash = round(COUNTS_PER_DEG)
        self._home_way = (2, 1, 5 * VELOCITY_FACTOR, round(4 * COUNTS_PER_DEG))

    def _speed_counts_per_s(self, motor: Motor) -> float:
        degrees_per_s = max(0.01, self._velocity[2] / VELOCITY_FACTOR)
        return degrees_per_s * COUNTS_PER_DEG * self._speed

    def _set_velocity(self, data: bytes) -> None:
        if len(data) == 14:
            _, low, acceleration, high = struct.unpack("<Hiii", data)
            self._velocity = (low, acceleration, high)

    def _set_backlash(self, data: bytes) -> None:
        if len(data) == 6:
            self._backlash = struct.unpack("<Hi", data)[1]

    def _set_home(self, data: bytes) -> None:
        if len(data) == 14:
            _, way, switch, velocity, offset = struct.unpack("<HHHii", data)
            self._home_way = (way, switch, velocity, offset)

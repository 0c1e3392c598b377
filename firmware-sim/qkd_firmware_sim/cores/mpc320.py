"""Thorlabs MPC320: three fibre paddles, a quarter-wave, a half-wave and a quarter-wave loop."""

import math
import struct

import numpy as np

from qkd_firmware_sim.cores.apt import AptCore, Motor
from qkd_firmware_sim.optics import Matrix, retarder

CHANNELS = (1, 2, 4)
COUNTS_PER_DEG = 1370 / 170
_RETARDANCES_RAD = (math.pi / 2, math.pi, math.pi / 2)


class Mpc320(AptCore):
    """The controller's firmware; its optical side is `turn`. Channels are bits of a mask."""

    model = "MPC320"
    hardware_type = 45
    counts_per_deg = COUNTS_PER_DEG
    degrees_per_s = 400.0
    range_counts = (0, 1370)
    enabled_at_start = False

    def __init__(self, serial_number: str, *, speed: float = 1.0) -> None:
        super().__init__(serial_number, CHANNELS, speed=speed)
        self._orders |= {
            0x0530: self._set_parameters,
            0x0531: lambda _: self._send(0x0532, struct.pack("<6H", *self._parameters)),
        }
        self._restart()

    def turn(self, half_wave_voltage_mv: float) -> Matrix:
        """What the paddles do to the polarisation, in order."""
        total: Matrix = np.eye(3)
        for retardance, degrees in zip(_RETARDANCES_RAD, self.angles_deg, strict=True):
            total = retarder(retardance, math.radians(degrees)) @ total
        return total

    def _restart(self) -> None:
        self._parameters = (0, 50, 0, 25, 25, 25)

    def _speed_counts_per_s(self, motor: Motor) -> float:
        return super()._speed_counts_per_s(motor) * self._parameters[1] / 100

    def _set_enabled(self, data: bytes) -> None:
        # A mask: whoever is not named is disabled.
        for channel, motor in self.motors.items():
            motor.enabled = data[1] == 1 and bool(data[0] & channel)

    def _set_parameters(self, data: bytes) -> None:
        if len(data) == 12:
            unused, velocity, *rest = struct.unpack("<6H", data)
            home, first, second, third = rest
            if 10 <= velocity <= 100:
                self._parameters = (unused, velocity, home, first, second, third)

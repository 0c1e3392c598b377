"""Thorlabs K10CR1: a rotation mount with a stepper motor.

Messages and factors as in qmi ``thorlabs/k10crx.py``.
"""

from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Limits
from qkd_drivers.models.apt_rotator import AptRotator


class ThorlabsK10cr1(AptRotator):
    """One mount on a serial port (115200 baud, RTS/CTS)."""

    mark = "K10CR1"
    channels = (1,)
    counts_per_deg = 409600 / 3
    tolerance_counts = 200
    static_limits: ClassVar[Mapping[str, Limits]] = {"positions_deg": Limits(-360.0, 360.0)}

"""Thorlabs MPC320: three motorised fibre paddles.

Messages and factors as in qmi ``thorlabs/mpc320.py``.
"""

from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Limits
from qkd_drivers.models.apt_rotator import AptRotator


class ThorlabsMpc320(AptRotator):
    """Three paddles on a serial port (115200 baud, RTS/CTS); asked faster it misbehaves."""

    mark = "MPC320"
    channels = (1, 2, 4)
    counts_per_deg = 1370 / 170
    tolerance_counts = 2
    pause_s = 0.01
    static_limits: ClassVar[Mapping[str, Limits]] = {"positions_deg": Limits(0.0, 170.0)}

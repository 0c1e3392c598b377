"""What an instrument is to the light on the table; the world knows it by this alone."""

import enum
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.core import Core
from qkd_firmware_sim.optics import Matrix, Response

Times = npt.NDArray[np.int64]
Channels = npt.NDArray[np.uint8]


class Role(enum.Enum):
    """How an instrument takes part in the optical world."""

    PUMP = "pump"
    """`Pump`: one a table."""
    OVEN = "oven"
    """`Oven`: one a table."""
    SOURCE = "source"
    """`Source`: pump and oven of the table in one."""
    RETARDERS = "retarders"
    """`Retarders`: in the fibre to Bob; several act one after another in the order of the file."""
    ATTENUATOR = "attenuator"
    """`Loss`: in the arm of its end."""
    DETECTOR = "detector"
    """`Detector`: one of four at its end."""
    NANOWIRES = "nanowires"
    """`Nanowires`: all four detectors of its end."""
    TAGGER = "tagger"
    """`Tagger`: one at each end."""
    MONITOR = "monitor"
    """`Monitor`: sees the pump light."""
    NONE = "none"
    """Stands on the table without touching the light."""


class Pump(Core, Protocol):
    """A laser that pumps the crystal."""

    @property
    def current_a(self) -> float: ...
    @property
    def diode_c(self) -> float: ...


class Oven(Core, Protocol):
    """What holds the crystal's temperature."""

    @property
    def crystal_c(self) -> float: ...


class Source(Pump, Oven, Protocol):
    """A box with its own pump and its own crystal."""


class Retarders(Core, Protocol):
    """A rotation of the polarisation in Stokes space."""

    def turn(self, half_wave_voltage_mv: float) -> Matrix: ...


class Loss(Core, Protocol):
    """Attenuation in an arm; infinite where the beam is blocked."""

    @property
    def loss_db(self) -> float: ...


class Detector(Protocol):
    """One detector. Clicks are given to it only while it counts."""

    @property
    def counting(self) -> bool: ...

    def response(self) -> Response: ...

    def clicks(self, times_ps: Times) -> None: ...


class Nanowires(Core, Protocol):
    """A box with several detectors, in the order of their numbers."""

    channels: Sequence[Detector]


class Tagger(Core, Protocol):
    """A time tagger, wholly in the time of its own clock."""

    fifo_bytes: int

    @property
    def wants_clicks(self) -> bool: ...

    @property
    def backlog_bytes(self) -> int: ...

    def clicks(self, times_ps: Times, channels: Channels) -> None: ...

    def overflow(self) -> None: ...


class Monitor(Core, Protocol):
    """A power meter in the pump beam."""

    light_w: float

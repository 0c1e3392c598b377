"""What every driver of a kind of device offers, whatever the model."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Identity:
    """Who the device says it is; empty where it does not say."""

    model: str
    serial_number: str = ""
    firmware: str = ""


@dataclass(frozen=True)
class Reading:
    """One measured value and the UTC time of its reading."""

    value: float
    unit: str
    utc_s: float


@dataclass(frozen=True)
class Limits:
    """The closed range a setting may have."""

    minimum: float
    maximum: float

    def check(self, name: str, value: float) -> None:
        """ValueError names the setting and the range."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{name} = {value:g} is outside {self.minimum:g} … {self.maximum:g}")


class Instrument(ABC):
    """Common to all devices. Every fault is a ``DeviceError``; calls may be cancelled."""

    name: str
    identity: Identity

    @abstractmethod
    async def connect(self) -> None:
        """Opens the wire, verifies the model (DeviceMismatch) and fills ``identity``.

        Changes no output and no setting.
        """

    @abstractmethod
    async def close(self) -> None:
        """Closes the wire and leaves the device as it is. Always works."""

    @abstractmethod
    async def readings(self) -> dict[str, Reading]:
        """All that is measured, by name with the unit at its end."""


class SinglePhotonDetector(Instrument):
    """One biased and cooled avalanche photodiode."""

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``bias_voltage_v``, ``threshold_v`` and ``temperature_c``."""

    @abstractmethod
    async def set_bias_voltage_v(self, volts: float) -> None:
        """Returns when the device holds the voltage and had time to settle."""

    @abstractmethod
    async def bias_voltage_v(self) -> float: ...

    @abstractmethod
    async def set_threshold_v(self, volts: float) -> None: ...

    @abstractmethod
    async def threshold_v(self) -> float: ...

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None:
        """The set point; the loop need not be on."""

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float:
        """As measured."""

    @abstractmethod
    async def set_cooling(self, on: bool) -> None: ...

    @abstractmethod
    async def cooling(self) -> bool: ...

    @abstractmethod
    async def counts(self, gate_s: float) -> int:
        """Clicks in one gate."""


class LaserDriver(Instrument):
    """A laser diode current source with a temperature controller.

    The driver keeps the safe order: the laser is never on without temperature control, and
    temperature control goes off last.
    """

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``current_a``, ``current_limit_a`` and ``temperature_c``."""

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None: ...

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float: ...

    @abstractmethod
    async def set_temperature_control(self, on: bool) -> None:
        """DeviceRefused when switching off while the laser is on."""

    @abstractmethod
    async def temperature_control(self) -> bool: ...

    @abstractmethod
    async def set_current_limit_a(self, amperes: float) -> None: ...

    @abstractmethod
    async def current_limit_a(self) -> float: ...

    @abstractmethod
    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        """Moves the set point in small steps at ramp_a_per_s; at once if that is 0."""

    @abstractmethod
    async def current_set_point_a(self) -> float: ...

    @abstractmethod
    async def current_a(self) -> float:
        """As measured."""

    @abstractmethod
    async def set_laser(self, on: bool) -> None:
        """DeviceRefused when switching on without temperature control; DeviceTripped when a
        protection keeps it off."""

    @abstractmethod
    async def laser(self) -> bool: ...

    @abstractmethod
    async def trip_cause(self) -> str:
        """What protection is active; empty if none."""

    @abstractmethod
    async def emergency_stop(self) -> None:
        """Laser off, current 0, temperature control off last; goes on past errors of a step."""


class CrystalOven(Instrument):
    """The heater of a down-conversion crystal."""

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``temperature_c`` and ``ramp_k_per_s``."""

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None: ...

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float: ...

    @abstractmethod
    async def set_ramp_k_per_s(self, kelvin_per_second: float) -> None: ...

    @abstractmethod
    async def ramp_k_per_s(self) -> float: ...

    @abstractmethod
    async def set_heater(self, on: bool) -> None:
        """Supply and control loop of the heater; any laser output of the device stays off."""

    @abstractmethod
    async def heater(self) -> bool: ...


class PolarisationController(Instrument):
    """Retarders in series, each moved by one voltage."""

    channel_count: int

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """The range of ``voltage_mv``."""

    @abstractmethod
    async def voltages_mv(self) -> tuple[int, ...]: ...

    @abstractmethod
    async def set_voltage_mv(self, channel: int, millivolts: int) -> None:
        """Channels count from 1. Never writes the device's permanent memory."""

    @abstractmethod
    async def hold(self) -> None:
        """Fixed voltages: leaves any scrambling mode."""


@dataclass(frozen=True)
class Tags:
    """Detection times in ps since the first word of the run, and the channel of each.

    ``times_ps`` is int64, ``channels`` uint8, of one length. A time may be less than the one
    before it by the device's ordering error (TDC1: 131 µs).
    """

    times_ps: NDArray[np.int64]
    channels: NDArray[np.uint8]


class Quality(StrEnum):
    """Whether the tags of a run may be used."""

    CLEAN = "clean"
    OVERFLOW = "overflow"
    """The device dropped tags somewhere in the run."""
    LOST = "lost"
    """The wire failed, or its bytes do not make sense."""


@dataclass(frozen=True)
class Verdict:
    """The judgement on a finished run."""

    quality: Quality
    cause: str = ""


class Run(ABC):
    """One stretch of streaming: iterate it for ``Tags``, then ask for the verdict.

    The tags are provisional until the verdict is clean. Use it as an async context: leaving early,
    by an exception or a cancellation, stops the device and leaves it usable.
    """

    utc_ns: int
    """Host UTC when the first word, time 0, arrived; known with the first ``Tags``."""
    end_ps: int
    """The time up to which the device has reported."""
    verdict: Verdict | None
    """None until the iteration has ended."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Tags]: ...

    @abstractmethod
    async def stop(self) -> None:
        """Ends the stream early; harmless after the end."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


class TimeTagger(Instrument):
    """A multi-channel time-to-digital converter."""

    channel_count: int
    resolution_ps: int

    @abstractmethod
    async def configure(self, *, level: str = "NIM", reference_clock: str = "auto") -> None:
        """Input standard (``NIM``, ``TTL`` or a threshold such as ``-0.4``) and clock source
        (``auto``, ``external``, ``internal``) of the runs to come."""

    @abstractmethod
    async def start_run(self, duration_s: float) -> Run:
        """Starts streaming for duration_s of the device's own time."""

    @abstractmethod
    async def counts(self, gate_s: float) -> tuple[int, ...]:
        """Counts of each channel in one gate, for diagnosis; not while a run goes on."""

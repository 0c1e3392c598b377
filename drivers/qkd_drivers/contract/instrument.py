"""What every instrument offers, whatever its kind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


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

    kind: ClassVar[str]
    """As configurations call it."""
    static_limits: ClassVar[Mapping[str, Limits]] = {}
    """Ranges of set-points that are known without asking the device, by name."""
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

"""What every kind of device is to its actor: set-points, and how it is driven to them.

Driving is idempotent: it is what bring-up, reconnection and a changed set-point all do.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from qkd_controller.devices.latch import Latch
from qkd_drivers.contract import Instrument, Limits

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class SetPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator may ask of a device; ranges that a model narrows are its driver's."""

    def faults(self) -> list[str]:
        """What is wrong between the set-points; each by itself is right."""
        return []


@dataclass(frozen=True)
class Observation:
    """A quantity as found, and as wanted."""

    name: str
    value: float
    desired: float
    tolerance: float

    @property
    def differs(self) -> bool:
        return not abs(self.value - self.desired) <= self.tolerance

    def __str__(self) -> str:
        return f"{self.name} is {self.value:g}, wanted {self.desired:g}"


D = TypeVar("D", bound=Instrument)
S = TypeVar("S", bound=SetPoints)


class Procedure(ABC, Generic[D, S]):
    """The handling of one device."""

    def __init__(self, device: D, wanted: S, latch: Latch | None = None) -> None:
        self._device = device
        self._wanted = wanted
        self._latch = latch or Latch()

    def faults(self) -> list[str]:
        """What of the set-points does not fit this device, as far as is known without asking it."""
        return []

    async def limit_faults(self) -> list[str]:
        """What of the set-points the device says it cannot do; asks, and changes nothing."""
        return []

    @abstractmethod
    async def drive(self) -> None:
        """Brings the device to its set-points and returns once it has settled there.

        Raises DeviceTripped if a protection forbids it.
        """

    @abstractmethod
    async def observe(self) -> list[Observation]:
        """Reads back; raises DeviceTripped if a protection has acted."""

    async def make_safe(self) -> None:
        """After a trip: the dangerous output off; most kinds have none."""
        return

    async def rest(self) -> None:
        """At the end of operation: outputs off, in the safe order; some kinds have none."""
        return


def outside(
    limits: Mapping[str, Limits], wanted: msgspec.Struct, *names: str, **each_of: str
) -> list[str]:
    """A line for each set-point of these names that is not within the limits of its name.

    each_of gives, for set-points that are several values, the name of the limits of each. There is
    none for what is not wanted, or where the device tells no limits.
    """
    faults = []
    for name, bounded in {**dict(zip(names, names, strict=True)), **each_of}.items():
        value = getattr(wanted, name)
        for one in value if isinstance(value, tuple) else (value,):
            try:
                if one is not None and bounded in limits:
                    limits[bounded].check(name, one)
            except ValueError as error:
                faults.append(str(error))
    return faults

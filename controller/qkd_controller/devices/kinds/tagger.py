"""Time taggers: inputs and clock."""

from typing import Annotated

from msgspec import Meta

from qkd_controller.devices.kinds.procedure import Observation, Procedure, SetPoints
from qkd_drivers.contract import TimeTagger


class TaggerSetPoints(SetPoints, frozen=True):
    """Inputs and clock of a time tagger."""

    level: Annotated[str, Meta(pattern=r"^(NIM|TTL|[+-]?\d+(\.\d+)?)$")] = "NIM"
    """``NIM``, ``TTL`` or a threshold in volts such as ``"-0.4"``."""
    reference_clock: Annotated[str, Meta(pattern="^(auto|external|internal)$")] = "auto"


class TaggerProcedure(Procedure[TimeTagger, TaggerSetPoints]):
    """Tells the tagger what its runs shall use."""

    async def drive(self) -> None:
        await self._device.configure(
            level=self._wanted.level, reference_clock=self._wanted.reference_clock
        )

    async def observe(self) -> list[Observation]:
        return []  # the wire belongs to the runs, and each run sets its own level and clock

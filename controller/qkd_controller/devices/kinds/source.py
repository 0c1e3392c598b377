"""What all that emits light has in common."""

from abc import abstractmethod
from typing import TypeVar

from qkd_controller.devices.kinds.procedure import Procedure, S
from qkd_drivers.contract import LaserDriver, LaserHead, PairSource
from qkd_drivers.errors import DeviceError, DeviceRefused, DeviceTripped

L = TypeVar("L", bound=LaserDriver | LaserHead | PairSource)


class SourceProcedure(Procedure[L, S]):
    """Light that went out by itself stays out until the operator re-arms the source.

    What we lit and find dark has tripped, whatever put it out: a protection that acts and ends
    while the wire is cut or the node is down may leave no other trace, and a source whose mains
    failed needs a reset by hand as well (IEC 60825-1, manual reset).
    """

    @abstractmethod
    async def _lit(self) -> bool: ...

    @abstractmethod
    async def _switch(self, on: bool) -> None: ...

    async def _uncontrolled(self) -> bool:
        """Whether a temperature control is off that must be on under light."""
        return False

    async def _found_lit(self) -> bool:
        """Whether there is light; DeviceTripped if there must be none, or none as it is."""
        if lit := await self._lit():
            await self._require_control()
            try:
                self._latch.light()
            except DeviceError:
                await self.make_safe()
                raise
        elif not self._latch.rearmed:
            cause = await self._device.trip_cause()
            if cause or self._latch.lit:
                raise self._tripped(cause)
        return lit

    async def _light(self) -> None:
        self._latch.light()
        try:
            await self._switch(True)
        except DeviceRefused:
            self._latch.dark()
            raise

    async def _require_light(self) -> None:
        if not await self._lit():
            raise self._tripped(await self._device.trip_cause())
        await self._require_control()

    async def _require_control(self) -> None:
        if await self._uncontrolled():
            raise self._tripped("temperature control went off under the light")

    def _tripped(self, cause: str) -> DeviceTripped:
        told = cause or "the light went out, the device gives no cause"
        return DeviceTripped(f"{self._device.name}: {told}")

    async def make_safe(self) -> None:
        await self._switch(False)

    async def rest(self) -> None:
        await self._switch(False)

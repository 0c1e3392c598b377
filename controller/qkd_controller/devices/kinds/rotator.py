"""Motorised wave plates and paddles."""

from qkd_controller.devices.kinds.procedure import (
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_drivers.contract import Rotator


class RotatorSetPoints(SetPoints, frozen=True):
    """Where each axis stands, in order."""

    positions_deg: tuple[float, ...]
    position_tolerance_deg: Positive = 0.2


class RotatorProcedure(Procedure[Rotator, RotatorSetPoints]):
    """Homes what is not homed, then moves what stands elsewhere."""

    def faults(self) -> list[str]:
        axes, positions = self._device.axis_count, len(self._wanted.positions_deg)
        return [] if axes == positions else [f"{positions} positions_deg for {axes} axes"]

    async def limit_faults(self) -> list[str]:
        return outside(await self._device.limits(), self._wanted, positions_deg="position_deg")

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        for axis, degrees in enumerate(wanted.positions_deg, 1):
            if not await device.homed(axis):
                await device.home(axis)
            held_deg = await device.position_deg(axis)
            if abs(held_deg - degrees) > wanted.position_tolerance_deg:
                await device.move_to_deg(axis, degrees)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        return [
            Observation(
                f"position_{axis}_deg",
                await device.position_deg(axis),
                degrees,
                wanted.position_tolerance_deg,
            )
            for axis, degrees in enumerate(wanted.positions_deg, 1)
        ]

"""Polarisation controllers."""

from typing import Annotated

from msgspec import Meta

from qkd_controller.devices.kinds.procedure import (
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_drivers.contract import PolarisationController


class PolarisationSetPoints(SetPoints, frozen=True):
    """Where the retarders start, and what turns one by half a wave."""

    voltages_mv: Annotated[
        tuple[Annotated[int, Meta(ge=-5000, le=5000)], ...], Meta(min_length=4, max_length=4)
    ] = (0, 0, 0, 0)
    half_wave_voltage_mv: Positive = 2000.0


class PolarisationProcedure(Procedure[PolarisationController, PolarisationSetPoints]):
    """Holds voltages; alignment moves them."""

    _holding = False

    async def limit_faults(self) -> list[str]:
        return outside(await self._device.limits(), self._wanted, voltages_mv="voltage_mv")

    async def drive(self) -> None:
        if not self._holding:
            await self._device.hold()
            self._holding = True
        held = await self._device.voltages_mv()
        for channel, wanted_mv in enumerate(self._wanted.voltages_mv, 1):
            if held[channel - 1] != wanted_mv:
                await self._device.set_voltage_mv(channel, wanted_mv)

    async def observe(self) -> list[Observation]:
        held = await self._device.voltages_mv()
        return [
            Observation(f"voltage_{channel}_mv", value, wanted, 0)
            for channel, (value, wanted) in enumerate(
                zip(held, self._wanted.voltages_mv, strict=True), 1
            )
        ]

"""Polarisation controllers."""

from qkd_controller.devices.kinds.procedure import (
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_drivers.contract import PolarisationController


class PolarisationSetPoints(SetPoints, frozen=True):
    """Where the retarders start, one voltage each, and what turns one by half a wave."""

    voltages_mv: tuple[int, ...] = (0, 0, 0, 0)
    half_wave_voltage_mv: Positive = 2000.0


class PolarisationProcedure(Procedure[PolarisationController, PolarisationSetPoints]):
    """Holds voltages; alignment moves them."""

    _holding = False

    def faults(self) -> list[str]:
        channels, voltages = self._device.channel_count, len(self._wanted.voltages_mv)
        return [] if channels == voltages else [f"{voltages} voltages_mv for {channels} channels"]

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

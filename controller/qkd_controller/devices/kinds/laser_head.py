"""Lasers that regulate themselves, and pair sources with a pump of their own."""

from typing import Annotated

from msgspec import Meta

from qkd_controller.devices.kinds.procedure import (
    NotNegative,
    Observation,
    Positive,
    SetPoints,
    outside,
)
from qkd_controller.devices.kinds.source import SourceProcedure
from qkd_controller.devices.kinds.thermal import settle, temperature
from qkd_drivers.contract import LaserHead, PairSource


class LaserHeadSetPoints(SetPoints, frozen=True):
    """Power of a laser head."""

    power_w: NotNegative
    power_tolerance_w: Positive = 0.002


class LaserHeadProcedure(SourceProcedure[LaserHead, LaserHeadSetPoints]):
    """Sets the power before the light goes on."""

    async def limit_faults(self) -> list[str]:
        return outside(await self._device.limits(), self._wanted, "power_w")

    async def drive(self) -> None:
        lit = await self._found_lit()
        await self._device.set_power_w(self._wanted.power_w)
        if not lit:
            await self._light()

    async def observe(self) -> list[Observation]:
        await self._require_light()
        wanted, set_point_w = self._wanted, await self._device.power_set_point_w()
        return [Observation("power_w", set_point_w, wanted.power_w, wanted.power_tolerance_w)]

    async def _lit(self) -> bool:
        return await self._device.laser()

    async def _switch(self, on: bool) -> None:
        await self._device.set_laser(on)


class PairSourceSetPoints(SetPoints, frozen=True):
    """Crystal temperature and pump current of a pair source."""

    temperature_c: Annotated[float, Meta(ge=10, le=100)]
    current_a: NotNegative
    ramp_a_per_s: Positive = 0.02
    settle_tolerance_c: Positive = 0.1
    settle_s: NotNegative = 3.0
    settle_timeout_s: Positive = 600.0


class PairSourceProcedure(SourceProcedure[PairSource, PairSourceSetPoints]):
    """Crystal temperature before pump light, which goes on and off at the least current."""

    async def limit_faults(self) -> list[str]:
        return outside(await self._device.limits(), self._wanted, "temperature_c", "current_a")

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        lit = await self._found_lit()
        await device.set_temperature_c(wanted.temperature_c)
        await settle(device, wanted, lit=lit)
        if not lit:
            await device.set_current_a(await self._least_current_a())
            await self._light()
        await device.set_current_a(wanted.current_a, ramp_a_per_s=wanted.ramp_a_per_s)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        await self._require_light()
        return [
            Observation("current_a", await device.current_set_point_a(), wanted.current_a, 1e-3),
            temperature(await device.temperature_c(), wanted),
        ]

    async def rest(self) -> None:
        device = self._device
        if await device.pump():
            least_a = await self._least_current_a()
            await device.set_current_a(least_a, ramp_a_per_s=self._wanted.ramp_a_per_s)
        await device.set_pump(False)

    async def _least_current_a(self) -> float:
        return (await self._device.limits())["current_a"].minimum

    async def _lit(self) -> bool:
        return await self._device.pump()

    async def _switch(self, on: bool) -> None:
        await self._device.set_pump(on)

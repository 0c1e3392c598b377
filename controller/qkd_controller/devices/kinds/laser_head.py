"""Lasers that regulate themselves, and pair sources with a pump of their own."""

from dataclasses import replace

import msgspec

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
    """Crystal temperature and pump current of a pair source; what else it lets be set."""

    temperature_c: float
    current_a: NotNegative
    ramp_a_per_s: Positive = 0.02
    ramp_k_per_s: Positive | None = None
    current_limit_a: Positive | None = None
    diode_temperature_c: float | None = None
    diode_settle_tolerance_c: Positive = 0.15
    settle_tolerance_c: Positive = 0.1
    settle_s: NotNegative = 3.0
    settle_timeout_s: Positive = 600.0

    def faults(self) -> list[str]:
        if self.current_limit_a is None or self.current_a <= self.current_limit_a:
            return []
        return [
            f"current_a = {self.current_a:g} is above current_limit_a = {self.current_limit_a:g}"
        ]


_KEPT_BY_SOME = ("ramp_k_per_s", "current_limit_a", "diode_temperature_c")


class _Diode:
    """The pump diode as what is waited for."""

    def __init__(self, source: PairSource) -> None:
        self.name = f"{source.name}: pump diode"
        self._source = source

    async def temperature_c(self) -> float:
        return await self._source.diode_temperature_c()


class PairSourceProcedure(SourceProcedure[PairSource, PairSourceSetPoints]):
    """Temperatures before pump light, which goes on and off at the least current."""

    async def limit_faults(self) -> list[str]:
        """The current lies below its wanted limit; that of now matters where none is wanted."""
        limits, wanted = await self._device.limits(), self._wanted
        names = ["temperature_c", *_KEPT_BY_SOME]
        if wanted.current_limit_a is None:
            names.append("current_a")
        return outside(limits, wanted, *names) + [
            f"{name}: the device keeps that by itself; leave it out"
            for name in _KEPT_BY_SOME
            if getattr(wanted, name) is not None and name not in limits
        ]

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        lit = await self._found_lit()
        if wanted.ramp_k_per_s is not None:
            await device.set_ramp_k_per_s(wanted.ramp_k_per_s)
        await device.set_temperature_c(wanted.temperature_c)
        diode = self._wanted_of_diode()
        if diode is not None:
            await device.set_diode_temperature_c(diode.temperature_c)
        await device.set_temperature_control(True)
        if diode is not None:
            await settle(_Diode(device), diode, lit=lit)
        await settle(device, wanted, lit=lit)
        if not lit:
            await device.set_current_a(await self._least_current_a())
        elif wanted.current_a < await device.current_set_point_a():
            await device.set_current_a(wanted.current_a, ramp_a_per_s=wanted.ramp_a_per_s)
        if wanted.current_limit_a is not None:
            await device.set_current_limit_a(wanted.current_limit_a)
        if not lit:
            await self._light()
        await device.set_current_a(wanted.current_a, ramp_a_per_s=wanted.ramp_a_per_s)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        await self._require_light()
        found = [
            Observation("current_a", await device.current_set_point_a(), wanted.current_a, 1e-3),
            temperature(await device.temperature_c(), wanted),
        ]
        if wanted.ramp_k_per_s is not None:
            held = await device.ramp_k_per_s()
            found.append(Observation("ramp_k_per_s", held, wanted.ramp_k_per_s, 1e-3))
        if wanted.current_limit_a is not None:
            held = await device.current_limit_a()
            found.append(Observation("current_limit_a", held, wanted.current_limit_a, 1e-4))
        if (diode := self._wanted_of_diode()) is not None:
            seen = temperature(await device.diode_temperature_c(), diode)
            found.append(replace(seen, name="diode_temperature_c"))
        return found

    async def rest(self) -> None:
        device = self._device
        if await device.pump():
            least_a = await self._least_current_a()
            await device.set_current_a(least_a, ramp_a_per_s=self._wanted.ramp_a_per_s)
        await device.set_pump(False)
        await device.set_temperature_control(False)

    async def _least_current_a(self) -> float:
        return (await self._device.limits())["current_a"].minimum

    async def _lit(self) -> bool:
        return await self._device.pump()

    async def _switch(self, on: bool) -> None:
        await self._device.set_pump(on)

    async def _uncontrolled(self) -> bool:
        return not await self._device.temperature_control()

    def _wanted_of_diode(self) -> PairSourceSetPoints | None:
        """The set-points with the diode in the place of the crystal, where it has one."""
        wanted = self._wanted
        if wanted.diode_temperature_c is None:
            return None
        return msgspec.structs.replace(
            wanted,
            temperature_c=wanted.diode_temperature_c,
            settle_tolerance_c=wanted.diode_settle_tolerance_c,
        )

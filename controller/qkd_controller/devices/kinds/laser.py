"""Laser diodes: current and temperature."""

from qkd_controller.devices.kinds.procedure import (
    NotNegative,
    Observation,
    Positive,
    SetPoints,
    outside,
)
from qkd_controller.devices.kinds.source import SourceProcedure
from qkd_controller.devices.kinds.thermal import settle, temperature
from qkd_drivers.contract import LaserDriver


class LaserSetPoints(SetPoints, frozen=True):
    """Current and temperature of a laser diode."""

    temperature_c: float
    current_a: NotNegative
    current_limit_a: Positive
    ramp_a_per_s: Positive = 0.05
    settle_tolerance_c: Positive = 0.15
    settle_s: NotNegative = 3.0
    settle_timeout_s: Positive = 120.0

    def faults(self) -> list[str]:
        if self.current_a <= self.current_limit_a:
            return []
        return [
            f"current_a = {self.current_a:g} is above current_limit_a = {self.current_limit_a:g}"
        ]


class LaserProcedure(SourceProcedure[LaserDriver, LaserSetPoints]):
    """Temperature before light, light off before temperature control."""

    async def limit_faults(self) -> list[str]:
        """The current lies below its wanted limit; that of now does not matter."""
        limits = await self._device.limits()
        return outside(limits, self._wanted, "current_limit_a", "temperature_c")

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        lit = await self._found_lit()
        await device.set_temperature_c(wanted.temperature_c)
        await device.set_temperature_control(True)
        await settle(device, wanted, lit=lit)
        if not lit:
            await device.set_current_a(0.0)
        # A limit that falls would take the current of a lit laser with it at once.
        falls = lit and wanted.current_limit_a < await device.current_limit_a()
        if not falls:
            await device.set_current_limit_a(wanted.current_limit_a)
        if not lit:
            await self._light()
        await device.set_current_a(wanted.current_a, ramp_a_per_s=wanted.ramp_a_per_s)
        if falls:
            await device.set_current_limit_a(wanted.current_limit_a)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        await self._require_light()
        return [
            Observation("current_a", await device.current_set_point_a(), wanted.current_a, 1e-4),
            Observation(
                "current_limit_a", await device.current_limit_a(), wanted.current_limit_a, 1e-4
            ),
            temperature(await device.temperature_c(), wanted),
        ]

    async def make_safe(self) -> None:
        await self._device.set_laser(False)
        await self._device.set_current_a(0.0)

    async def rest(self) -> None:
        if await self._device.laser():
            await self._device.set_current_a(0.0, ramp_a_per_s=self._wanted.ramp_a_per_s)
        await self._device.emergency_stop()

    async def _lit(self) -> bool:
        return await self._device.laser()

    async def _switch(self, on: bool) -> None:
        await self._device.set_laser(on)

    async def _uncontrolled(self) -> bool:
        return not await self._device.temperature_control()

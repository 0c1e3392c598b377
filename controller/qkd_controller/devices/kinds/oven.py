"""Crystal ovens."""

from qkd_controller.devices.kinds.procedure import (
    NotNegative,
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_controller.devices.kinds.thermal import settle, temperature
from qkd_drivers.contract import CrystalOven


class OvenSetPoints(SetPoints, frozen=True):
    """Temperature of a crystal."""

    temperature_c: float
    ramp_k_per_s: Positive = 0.5
    settle_tolerance_c: Positive = 0.1
    settle_s: NotNegative = 3.0
    settle_timeout_s: Positive = 600.0


class OvenProcedure(Procedure[CrystalOven, OvenSetPoints]):
    """Heats slowly."""

    async def limit_faults(self) -> list[str]:
        return outside(await self._device.limits(), self._wanted, "temperature_c", "ramp_k_per_s")

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        await device.set_ramp_k_per_s(wanted.ramp_k_per_s)
        await device.set_temperature_c(wanted.temperature_c)
        await device.set_heater(True)
        await settle(device, wanted)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        return [
            Observation("heater", await device.heater(), True, 0),
            Observation("ramp_k_per_s", await device.ramp_k_per_s(), wanted.ramp_k_per_s, 1e-3),
            temperature(await device.temperature_c(), wanted),
        ]

    async def rest(self) -> None:
        await self._device.set_heater(False)

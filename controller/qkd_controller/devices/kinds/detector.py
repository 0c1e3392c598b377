"""Single-photon detectors: bias, discriminator and cooling."""

from contextlib import suppress

from qkd_controller.devices.kinds.procedure import (
    NotNegative,
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_controller.devices.kinds.thermal import settle, temperature
from qkd_drivers.contract import SinglePhotonDetector
from qkd_drivers.errors import DeviceTripped


class DetectorSetPoints(SetPoints, frozen=True):
    """Bias, discriminator and cooling of a single-photon detector."""

    bias_voltage_v: NotNegative
    threshold_v: float
    temperature_c: float
    settle_tolerance_c: Positive = 1.0
    settle_s: NotNegative = 1.0
    settle_timeout_s: Positive = 300.0


class DetectorProcedure(Procedure[SinglePhotonDetector, DetectorSetPoints]):
    """Cools, then biases."""

    async def limit_faults(self) -> list[str]:
        limits = await self._device.limits()
        return outside(limits, self._wanted, "bias_voltage_v", "threshold_v", "temperature_c")

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        await device.set_temperature_c(wanted.temperature_c)
        await device.set_cooling(True)
        await device.set_threshold_v(wanted.threshold_v)
        # Breakdown moves with temperature, so bias comes last.
        await settle(device, wanted)
        await device.set_bias_voltage_v(wanted.bias_voltage_v)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        return [
            Observation(
                "bias_voltage_v", await device.bias_voltage_v(), wanted.bias_voltage_v, 0.5
            ),
            Observation("threshold_v", await device.threshold_v(), wanted.threshold_v, 0.02),
            Observation("cooling", await device.cooling(), True, 0),
            temperature(await device.temperature_c(), wanted),
        ]

    async def make_safe(self) -> None:
        with suppress(DeviceTripped):  # a supply tells its error again when it is set
            await self._device.set_bias_voltage_v(0.0)

    async def rest(self) -> None:
        await self.make_safe()
        await self._device.set_cooling(False)

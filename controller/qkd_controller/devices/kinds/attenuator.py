"""Attenuators."""

from qkd_controller.devices.kinds.procedure import (
    NotNegative,
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_drivers.contract import Attenuator


class AttenuatorSetPoints(SetPoints, frozen=True):
    """Loss, and for what light."""

    attenuation_db: NotNegative
    wavelength_nm: Positive | None = None
    attenuation_tolerance_db: Positive = 0.05


class AttenuatorProcedure(Procedure[Attenuator, AttenuatorSetPoints]):
    """Sets the loss before the beam is let through; blocks it at the end of operation."""

    async def limit_faults(self) -> list[str]:
        limits, wanted = await self._device.limits(), self._wanted
        faults = outside(limits, wanted, "attenuation_db", "wavelength_nm")
        if wanted.wavelength_nm is not None and "wavelength_nm" not in limits:
            faults.append("wavelength_nm: the device has one calibration; leave it out")
        return faults

    async def drive(self) -> None:
        device, wanted = self._device, self._wanted
        if wanted.wavelength_nm is not None:
            await device.set_wavelength_nm(wanted.wavelength_nm)
        await device.set_attenuation_db(wanted.attenuation_db)
        if device.has_shutter:
            await device.set_blocked(False)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        found = [
            Observation(
                "attenuation_db",
                await device.attenuation_db(),
                wanted.attenuation_db,
                wanted.attenuation_tolerance_db,
            )
        ]
        # Some devices do not tell for what light they are calibrated.
        if wanted.wavelength_nm is not None and (held_nm := await device.wavelength_nm()):
            found.append(Observation("wavelength_nm", held_nm, wanted.wavelength_nm, 1.0))
        if device.has_shutter:
            found.append(Observation("blocked", await device.blocked(), False, 0))
        return found

    async def rest(self) -> None:
        if self._device.has_shutter:
            await self._device.set_blocked(True)

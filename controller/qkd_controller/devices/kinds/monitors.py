"""Power meters and frequency standards."""

from qkd_controller.devices.kinds.procedure import (
    Observation,
    Positive,
    Procedure,
    SetPoints,
    outside,
)
from qkd_drivers.contract import FrequencyReference, PowerMeter


class PowerMeterSetPoints(SetPoints, frozen=True):
    """For what light a meter is calibrated."""

    wavelength_nm: Positive


class PowerMeterProcedure(Procedure[PowerMeter, PowerMeterSetPoints]):
    """Tells the meter the wavelength."""

    async def limit_faults(self) -> list[str]:
        return outside(await self._device.limits(), self._wanted, "wavelength_nm")

    async def drive(self) -> None:
        await self._device.set_wavelength_nm(self._wanted.wavelength_nm)

    async def observe(self) -> list[Observation]:
        held_nm = await self._device.wavelength_nm()
        return [Observation("wavelength_nm", held_nm, self._wanted.wavelength_nm, 1.0)]


class FrequencySetPoints(SetPoints, frozen=True):
    """Whether a standard follows a pulse a second, and must be locked to be ready."""

    discipline: bool = False
    must_lock: bool = True


class FrequencyProcedure(Procedure[FrequencyReference, FrequencySetPoints]):
    """Sets the discipline and watches the lock."""

    async def drive(self) -> None:
        if await self._device.discipline() != self._wanted.discipline:
            await self._device.set_discipline(self._wanted.discipline)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        found = [Observation("discipline", await device.discipline(), wanted.discipline, 0)]
        if wanted.must_lock:
            found.append(Observation("locked", await device.locked(), True, 0))
        return found

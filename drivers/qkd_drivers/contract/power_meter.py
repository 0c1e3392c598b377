"""Optical power meters."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class PowerMeter(Instrument):
    """A photodiode or thermopile and its calibration."""

    kind = "power_meter"

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """The range of ``wavelength_nm``."""

    @abstractmethod
    async def set_wavelength_nm(self, nanometres: float) -> None:
        """Of the light to be measured; sets the sensor's calibration."""

    @abstractmethod
    async def wavelength_nm(self) -> float: ...

    @abstractmethod
    async def power_w(self) -> float: ...

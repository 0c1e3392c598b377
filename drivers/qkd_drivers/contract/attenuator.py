"""Variable optical attenuators."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class Attenuator(Instrument):
    """A loss that can be set."""

    kind = "attenuator"

    has_shutter: bool
    """Whether the beam can be blocked."""

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``attenuation_db`` and, where it can be set, ``wavelength_nm``."""

    @abstractmethod
    async def set_attenuation_db(self, decibels: float) -> None:
        """Returns when the device has settled."""

    @abstractmethod
    async def attenuation_db(self) -> float:
        """NaN while the device does not know, such as before it was homed."""

    @abstractmethod
    async def set_wavelength_nm(self, nanometres: float) -> None:
        """Which calibration holds; DeviceRefused where there is one only."""

    @abstractmethod
    async def wavelength_nm(self) -> float:
        """0 where the device does not tell."""

    @abstractmethod
    async def set_blocked(self, blocked: bool) -> None:
        """DeviceRefused without a shutter."""

    @abstractmethod
    async def blocked(self) -> bool:
        """False without a shutter."""

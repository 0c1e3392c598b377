"""Crystal ovens."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class CrystalOven(Instrument):
    """The heater of a down-conversion crystal."""

    kind = "crystal_oven"

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``temperature_c`` and ``ramp_k_per_s``."""

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None: ...

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float: ...

    @abstractmethod
    async def set_ramp_k_per_s(self, kelvin_per_second: float) -> None: ...

    @abstractmethod
    async def ramp_k_per_s(self) -> float: ...

    @abstractmethod
    async def set_heater(self, on: bool) -> None:
        """Supply and control loop of the heater; any laser output of the device stays off."""

    @abstractmethod
    async def heater(self) -> bool: ...

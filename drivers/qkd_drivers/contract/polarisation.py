"""Polarisation controllers."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class PolarisationController(Instrument):
    """Retarders in series, each moved by one voltage."""

    kind = "polarisation_controller"

    channel_count: int
    """Known without asking the device."""

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """The range of ``voltage_mv``."""

    @abstractmethod
    async def voltages_mv(self) -> tuple[int, ...]: ...

    @abstractmethod
    async def set_voltage_mv(self, channel: int, millivolts: int) -> None:
        """Channels count from 1. Never writes the device's permanent memory."""

    @abstractmethod
    async def hold(self) -> None:
        """Fixed voltages: leaves any scrambling mode."""

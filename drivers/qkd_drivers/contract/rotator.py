"""Motorised wave plates and fibre paddles."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class Rotator(Instrument):
    """Angles moved by motors. Axes count from 1."""

    kind = "rotator"

    axis_count: int

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """The range of ``position_deg``."""

    @abstractmethod
    async def home(self, axis: int) -> None:
        """Finds the axis's zero; returns when it stands there."""

    @abstractmethod
    async def homed(self, axis: int) -> bool:
        """False after power-up of a device that must be homed."""

    @abstractmethod
    async def move_to_deg(self, axis: int, degrees: float) -> None:
        """Returns when the axis stands there; a cancelled move is stopped."""

    @abstractmethod
    async def position_deg(self, axis: int) -> float: ...

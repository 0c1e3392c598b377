"""Frequency standards."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument


class FrequencyReference(Instrument):
    """A 10 MHz standard, free or disciplined by a pulse a second."""

    kind = "frequency_reference"

    @abstractmethod
    async def locked(self) -> bool:
        """Whether the output is on the atomic line."""

    @abstractmethod
    async def set_discipline(self, on: bool) -> None:
        """Whether it follows the pulse a second at its input."""

    @abstractmethod
    async def discipline(self) -> bool: ...

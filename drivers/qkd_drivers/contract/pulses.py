"""Pulse and pattern generators."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class PulseGenerator(Instrument):
    """Periodic pulses on several outputs of one time base. Channels count from 1."""

    kind = "pulse_generator"

    channel_count: int

    @abstractmethod
    async def limits(self, *, period_s: float | None = None) -> dict[str, Limits]:
        """Ranges of ``period_s``, ``width_s``, ``delay_s`` and ``amplitude_v``.

        Those of width and delay are what they would be at that period; at the present one if it
        is None.
        """

    @abstractmethod
    async def set_period_s(self, seconds: float) -> None:
        """Of all channels."""

    @abstractmethod
    async def period_s(self) -> float: ...

    @abstractmethod
    async def set_width_s(self, channel: int, seconds: float) -> None: ...

    @abstractmethod
    async def width_s(self, channel: int) -> float: ...

    @abstractmethod
    async def set_delay_s(self, channel: int, seconds: float) -> None:
        """Of the channel's pulse against the time base."""

    @abstractmethod
    async def delay_s(self, channel: int) -> float: ...

    @abstractmethod
    async def set_amplitude_v(self, channel: int, volts: float) -> None:
        """Peak to peak, into the load that the device is set to."""

    @abstractmethod
    async def amplitude_v(self, channel: int) -> float: ...

    @abstractmethod
    async def set_output(self, channel: int, on: bool) -> None: ...

    @abstractmethod
    async def output(self, channel: int) -> bool: ...

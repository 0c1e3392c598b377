"""Single-photon detectors."""

from abc import abstractmethod

from qkd_drivers.contract.instrument import Instrument, Limits


class SinglePhotonDetector(Instrument):
    """One biased and cooled avalanche photodiode."""

    kind = "detector"

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``bias_voltage_v``, ``threshold_v`` and ``temperature_c``."""

    @abstractmethod
    async def set_bias_voltage_v(self, volts: float) -> None:
        """Returns when the device holds the voltage and had time to settle."""

    @abstractmethod
    async def bias_voltage_v(self) -> float: ...

    @abstractmethod
    async def set_threshold_v(self, volts: float) -> None: ...

    @abstractmethod
    async def threshold_v(self) -> float: ...

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None:
        """The set point; the loop need not be on."""

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float:
        """As measured."""

    @abstractmethod
    async def set_cooling(self, on: bool) -> None: ...

    @abstractmethod
    async def cooling(self) -> bool: ...

    @abstractmethod
    async def counts(self, gate_s: float) -> int:
        """Clicks in one gate."""


class NanowireDetectors(Instrument):
    """Superconducting nanowires behind one controller. Channels count from 1."""

    kind = "nanowire_detectors"

    channel_count: int

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``bias_current_a`` and ``trigger_v``."""

    @abstractmethod
    async def set_bias_currents_a(self, amperes: tuple[float, ...]) -> None:
        """Of all channels, in order."""

    @abstractmethod
    async def bias_currents_a(self) -> tuple[float, ...]: ...

    @abstractmethod
    async def set_triggers_v(self, volts: tuple[float, ...]) -> None: ...

    @abstractmethod
    async def triggers_v(self) -> tuple[float, ...]: ...

    @abstractmethod
    async def set_enabled(self, on: bool) -> None:
        """Bias of all channels; switching it off and on frees a latched nanowire."""

    @abstractmethod
    async def enabled(self) -> bool: ...

    @abstractmethod
    async def count_rates_hz(self) -> tuple[float, ...]:
        """Of the last measurement period."""


class PassiveDetector(Instrument):
    """A module without a wire of its own: clicks come to a tagger, nothing can be set."""

    kind = "passive_detector"

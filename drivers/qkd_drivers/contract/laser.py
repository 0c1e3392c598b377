"""Laser diode drivers."""

from abc import abstractmethod
from functools import partial

from qkd_drivers.contract.instrument import Instrument, Limits
from qkd_drivers.errors import DeviceError, DeviceRefused


class LaserDriver(Instrument):
    """A laser diode current source with a temperature controller.

    The driver keeps the safe order: the laser is never on without temperature control, and
    temperature control goes off last.
    """

    kind = "laser"

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``current_a``, ``current_limit_a`` and ``temperature_c``."""

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None: ...

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float: ...

    @abstractmethod
    async def set_temperature_control(self, on: bool) -> None:
        """DeviceRefused when switching off while the laser is on."""

    @abstractmethod
    async def temperature_control(self) -> bool: ...

    @abstractmethod
    async def set_current_limit_a(self, amperes: float) -> None: ...

    @abstractmethod
    async def current_limit_a(self) -> float: ...

    @abstractmethod
    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        """Moves the set point in small steps at ramp_a_per_s; at once if that is 0."""

    @abstractmethod
    async def current_set_point_a(self) -> float: ...

    @abstractmethod
    async def current_a(self) -> float:
        """As measured."""

    @abstractmethod
    async def set_laser(self, on: bool) -> None:
        """DeviceRefused when switching on without temperature control; DeviceTripped when a
        protection keeps it off."""

    @abstractmethod
    async def laser(self) -> bool: ...

    @abstractmethod
    async def trip_cause(self) -> str:
        """What protection is active; empty if none."""

    async def emergency_stop(self) -> None:
        """Laser off, current 0, temperature control off last; goes on past errors of a step.

        Temperature control stays on if the laser does. Raises the first error.
        """
        fault: DeviceError | None = None
        for step in (
            partial(self.set_laser, False),
            partial(self.set_current_a, 0.0),
            partial(self.set_temperature_control, False),
        ):
            try:
                await step()
            except DeviceError as error:
                fault = fault or error
        if fault is not None:
            raise fault


class LaserHead(Instrument):
    """A laser that regulates its own power and temperature."""

    kind = "laser_head"

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """The range of ``power_w``, without an upper end where the device does not tell it."""

    @abstractmethod
    async def set_power_w(self, watts: float) -> None: ...

    @abstractmethod
    async def power_set_point_w(self) -> float: ...

    @abstractmethod
    async def power_w(self) -> float:
        """As measured."""

    @abstractmethod
    async def set_laser(self, on: bool) -> None:
        """DeviceTripped when an interlock, the key or a fault keeps it off."""

    @abstractmethod
    async def laser(self) -> bool: ...

    @abstractmethod
    async def trip_cause(self) -> str:
        """What protection is active; empty if none."""


class PairSource(Instrument):
    """A pump laser and a down-conversion crystal in one box.

    What some boxes keep to themselves (the temperature of the diode, a limit of its current, how
    fast the crystal warms) can be set where ``limits`` names it; elsewhere it is DeviceRefused.
    """

    kind = "pair_source"

    @abstractmethod
    async def limits(self) -> dict[str, Limits]:
        """Ranges of ``temperature_c`` and ``current_a`` and, where they can be set,
        ``diode_temperature_c``, ``current_limit_a`` and ``ramp_k_per_s``.

        The pump goes on and off at the least current.
        """

    async def set_temperature_control(self, on: bool) -> None:
        """DeviceRefused when switching off while the pump is on; no effect without a switch."""
        return

    async def temperature_control(self) -> bool:
        """True where it cannot be switched."""
        return True

    @abstractmethod
    async def set_temperature_c(self, celsius: float) -> None:
        """Of the crystal."""

    @abstractmethod
    async def temperature_set_point_c(self) -> float: ...

    @abstractmethod
    async def temperature_c(self) -> float:
        """As measured."""

    @abstractmethod
    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        """Moves the set point of the pump diode in steps at ramp_a_per_s; at once if that is 0.

        Steps are no finer than the device takes them and no faster than the ramp asks, nor than
        the maker of the device lets a lit diode be moved.
        """

    @abstractmethod
    async def current_set_point_a(self) -> float: ...

    async def set_diode_temperature_c(self, celsius: float) -> None:
        """Of the pump diode."""
        raise self._keeps("diode_temperature_c")

    async def diode_temperature_c(self) -> float:
        """As measured."""
        raise self._keeps("diode_temperature_c")

    async def set_current_limit_a(self, amperes: float) -> None:
        """Of the pump diode."""
        raise self._keeps("current_limit_a")

    async def current_limit_a(self) -> float:
        raise self._keeps("current_limit_a")

    async def set_ramp_k_per_s(self, kelvin_per_second: float) -> None:
        """Of the crystal."""
        raise self._keeps("ramp_k_per_s")

    async def ramp_k_per_s(self) -> float:
        raise self._keeps("ramp_k_per_s")

    @abstractmethod
    async def set_pump(self, on: bool) -> None:
        """Off is at once. DeviceTripped while a fault is present; DeviceRefused when switching on
        without temperature control."""

    @abstractmethod
    async def pump(self) -> bool: ...

    @abstractmethod
    async def trip_cause(self) -> str:
        """What fault is present; empty if none."""

    def _keeps(self, name: str) -> DeviceRefused:
        return DeviceRefused(f"{self.name}: {name} is kept by the box itself")

"""What every instrument core is to the wire that carries it and to the clock that drives it."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, runtime_checkable

PS_PER_S = 1_000_000_000_000


class Session(Protocol):
    """One client's conversation with an instrument, in bytes."""

    on_output: Callable[[], None]

    def receive(self, data: bytes) -> None: ...

    def take(self, limit: int) -> bytes: ...


@runtime_checkable
class HangsUp(Protocol):
    """A session that the instrument itself may end."""

    on_hang_up: Callable[[], None]


class Core(Protocol):
    """A simulated instrument; time enters only through `advance`."""

    def session(self) -> Session: ...

    def advance(self, now_ps: int) -> None: ...

    def power_cycle(self) -> None: ...


class SerialCore:
    """An instrument with one serial port: the core itself is the only session."""

    def __init__(self) -> None:
        self.on_output: Callable[[], None] = lambda: None
        self.now_ps = 0
        self._output = bytearray()

    def session(self) -> Session:
        return self

    def advance(self, now_ps: int) -> None:
        """Moves the instrument's clock on to now_ps."""
        self.now_ps = now_ps

    def receive(self, data: bytes) -> None:
        """Takes bytes from the wire."""
        raise NotImplementedError

    def take(self, limit: int) -> bytes:
        """Removes and returns up to limit bytes that wait to leave."""
        data = bytes(self._output[:limit])
        del self._output[:limit]
        return data

    @property
    def backlog_bytes(self) -> int:
        return len(self._output)

    def power_cycle(self) -> None:
        """Starts the firmware anew: what was not saved is lost."""
        self._output.clear()

    def _emit(self, data: bytes) -> None:
        if data:
            self._output += data
            self.on_output()


class Thermal:
    """A body that approaches a temperature with one time constant."""

    def __init__(self, temperature_c: float, time_constant_s: float) -> None:
        self.temperature_c = temperature_c
        self.stalled = False
        """Whether it stays as it is whatever heats or cools it, as with a broken regulator."""
        self._time_constant_s = time_constant_s

    def step(self, target_c: float, elapsed_s: float) -> None:
        """The exact solution for a constant target, so the step size does not matter."""
        if self.stalled:
            return
        share = -math.expm1(-elapsed_s / self._time_constant_s)
        self.temperature_c += (target_c - self.temperature_c) * share


class Regulated:
    """An instrument that holds a part of itself at a temperature."""

    regulated: Thermal

    def warm_by(self, kelvin: float) -> None:
        """A temperature excursion."""
        self.regulated.temperature_c += kelvin


class Revised:
    """An instrument whose firmware revisions do not all speak alike."""

    revisions: ClassVar[Mapping[str, str]] = {}
    """What they are called here, and how each differs."""
    revision = ""
    """The one that is in it; empty for the usual one."""


class Motorised:
    """An instrument with moving parts."""

    slowness = 1.0
    """How many times slower than they should they move."""

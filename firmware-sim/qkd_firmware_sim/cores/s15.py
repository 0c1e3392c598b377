"""The command shell that the S-Fifteen boxes share.

Commands end with a semicolon, CR or LF and are read without regard to case. A query answers one
line; a command that takes effect answers nothing; anything else answers a line that says so.
"""

import re
from collections import deque
from collections.abc import Callable

from qkd_firmware_sim.cores.core import SerialCore

_LONGEST_COMMAND = 128
_MOST_WAITING = 64


class S15Core(SerialCore):
    """Splits commands, looks them up, and holds them back while a gate is open."""

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.identity = identity
        self._line = bytearray()
        self._waiting: deque[str] = deque()
        self._queries: dict[str, Callable[[], str]] = {
            "*idn": lambda: self.identity,
            "help": self._help,
        }
        self._actions: dict[str, Callable[[], None]] = {
            "help": lambda: self._reply(self._help()),
            "*rst": self._restart,
        }
        self._settings: dict[str, Callable[[str], None]] = {}

    def receive(self, data: bytes) -> None:
        self._line += data
        *commands, rest = re.split(rb"[;\r\n]", bytes(self._line))
        self._line = bytearray(rest[-_LONGEST_COMMAND:])
        for command in commands:
            text = command.decode("ascii", "replace").strip().lower()
            if text:
                self._dispatch(text)

    def power_cycle(self) -> None:
        super().power_cycle()
        self._line.clear()
        self._waiting.clear()
        self._restart()

    def lose_settings(self) -> None:
        """A reset after the stored settings were lost: the factory's come back."""
        self._forget()
        self.power_cycle()

    def _restart(self) -> None:
        """Back to the stored settings; replies on their way still leave."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Puts the factory settings in the place of the stored ones."""

    def _setting(
        self,
        name: str,
        read: Callable[[], str],
        write: Callable[[float], None],
        low: float,
        high: float,
    ) -> None:
        """A numeric setting: ``name value`` in [low, high] and ``name?``."""

        def apply(argument: str) -> None:
            value = _number(argument)
            if not low <= value <= high:
                raise ValueError(f"{name} takes {low:g} to {high:g}")
            write(value)

        self._queries[name] = read
        self._settings[name] = apply

    @property
    def busy(self) -> bool:
        """Whether a gate is open, so that commands wait."""
        return self._busy()

    def _busy(self) -> bool:
        return False

    def _interrupt(self, command: str) -> bool:
        """Whether a command acts even while the firmware is busy."""
        return command in ("abort", "*rst")

    def _resume(self) -> None:
        """Executes what was held back, until the firmware is busy again."""
        while self._waiting and not self._busy():
            self._execute(self._waiting.popleft())

    def _dispatch(self, command: str) -> None:
        if self._busy() and not self._interrupt(command):
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(command)
            return
        self._execute(command)
        self._resume()

    def _execute(self, command: str) -> None:
        name, _, argument = command.partition(" ")
        try:
            if name.endswith("?") and name[:-1] in self._queries and not argument:
                self._reply(self._queries[name[:-1]]())
            elif argument and name in self._settings:
                self._settings[name](argument.strip())
            elif not argument and name in self._actions:
                self._actions[name]()
            else:
                self._reply(f"Unknown command: {command[:32]}")
        except ValueError as error:
            self._reply(f"Error: {error}")

    def _reply(self, line: str) -> None:
        if line:
            self._emit(line.encode("ascii", "replace") + b"\r\n")

    def _help(self) -> str:
        names = {*self._actions, *self._settings, *(f"{name}?" for name in self._queries)}
        return "\r\n".join(sorted(names))


def _number(text: str) -> float:
    value = float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?", text) else None
    if value is None:
        raise ValueError(f"{text[:16]} is not a number")
    return value

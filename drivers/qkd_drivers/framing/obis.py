"""Coherent OBIS: a value, then a word of its handshake."""

import re

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused
from qkd_drivers.framing.answers import leading_number, text
from qkd_drivers.framing.wire import Wire

_END = rb"(?i)(?:^|[\r\n])(?:ok|err-?\d+)[ \t]*(?:\r\n?|\n)"
# A value may be "ok" as well: some firmware says so of a closed interlock.
_END_OF_VALUE = rb"(?i)(?:^|[\r\n])err-?\d+[ \t]*(?:\r\n?|\n)|[^\r\n]+[\r\n]+ok[ \t]*(?:\r\n?|\n)"
_ERRORS = {"ERR-100": "unsupported command"}  # others are told as they come


class ObisWire(Wire):
    """``command CR`` → lines, then ``OK`` or ``ERR-nnn``, with the handshake that is on.

    The handshake is switched on whenever the wire finds its place, since without it nothing tells
    where an answer ends.
    """

    async def ask(self, command: str) -> str:
        """The answer without its ``OK``, empty for a setting; DeviceRefused for an error."""
        end = _END_OF_VALUE if command.endswith("?") else _END
        answer = text(await self.exchange(f"{command}\r".encode(), end))
        *lines, word = filter(None, re.split(r"[\r\n]+", answer))
        if word.upper() != "OK":
            told = " ".join(filter(None, [word, _ERRORS.get(word.upper(), "")]))
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {told}")
        return "\n".join(lines)

    async def ask_number(self, command: str) -> float:
        """The number that an answer begins with, whatever unit is glued to it."""
        answer = await self.ask(command)
        number = leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {command!r}: {answer!r} is not a number")
        return number

    def _landmark(self) -> tuple[bytes, bytes]:
        return (
            b"\rSYST:COMM:HAND ON\r*IDN?\r",
            rb"(?i)[^\r\n]*coherent[^\r\n]*[\r\n]+ok[ \t]*(?:\r\n?|\n)",
        )

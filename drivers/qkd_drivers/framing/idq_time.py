"""ID Quantique time controllers: one answer a request, in SCPI text and in JSON."""

import json
from typing import Any

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused
from qkd_drivers.framing.answers import leading_number, text
from qkd_drivers.framing.wire import Wire
from qkd_drivers.transports import Transport

_FRAME = rb"(?s).*\n"  # JSON may stand on several lines; a frame arrives as a whole

Value = bool | int | float | str
"""Of a setting: ON or OFF, a number in its own unit, or a word."""


class TimeControllerWire(Wire):
    """The box: SCPI, in which settings are answered too.

    How a setting is answered differs between firmwares, and no error queue is known of: so what
    the box holds afterwards is read back.
    """

    async def ask(self, query: str) -> str:
        """The answer, of one line."""
        return text(await self.exchange(f"{query}\n".encode(), rb"\n"))

    async def ask_number(self, query: str) -> float:
        """The number that an answer begins with; what follows is its unit."""
        answer = await self.ask(query)
        number = leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {query!r}: {answer!r} is not a number")
        return number

    async def order(self, command: str) -> str:
        """Sends what cannot be read back; returns what the box says to it."""
        return text(await self.exchange(f"{command}\n".encode(), rb"\n"))

    async def set(self, header: str, value: Value) -> None:
        """Sets, then reads back; DeviceRefused if the box holds something else."""
        told = _told(value)
        async with self.transaction(repr(f"{header} {told}")) as transport:
            said = await self._say(transport, f"{header} {told}")
            held = await self._say(transport, f"{header}?")
        if not _same(held, told):
            raise DeviceRefused(
                f"{self.device}: '{header} {told}': the device says {said!r} and holds {held!r}"
            )

    async def _say(self, transport: Transport, message: str) -> str:
        return text(await self._exchange(transport, f"{message}\n".encode(), rb"\n"))

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"*IDN?\n", rb"[^\n,]*(,[^\n,]*){3}\n"


class DataLinkWire(Wire):
    """The service that passes the tags on: commands like those of a shell, answers in JSON."""

    async def ask(self, command: str) -> Any:
        """The answer; DeviceRefused with the service's own words if it is an error."""
        told = (await self.exchange(f"{command}\n".encode(), _FRAME)).strip()
        try:
            answer = json.loads(told) if told else None
        except ValueError:
            self.doubt()
            raise DeviceProtocolError(
                f"{self.device}: {command!r}: {told[:40]!r} is no JSON"
            ) from None
        if isinstance(answer, dict) and "error" in answer:
            error = answer["error"]
            said = error.get("description") if isinstance(error, dict) else error
            raise DeviceRefused(f"{self.device}: {command!r}: the service says {said!r}")
        return answer

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"list\n", rb"(?s)\s*\[.*\]\s*\n"


def _told(value: Value) -> str:
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _same(held: str, told: str) -> bool:
    """Whether an answer means what was told: numbers with any unit, words in either form."""
    wanted, found = leading_number(told), leading_number(held)
    if wanted is not None or found is not None:
        return wanted is not None and found is not None and abs(wanted - found) < 5e-4
    long, short = told.upper(), held.upper()
    return len(short) >= 2 and (long.startswith(short) or short.startswith(long))

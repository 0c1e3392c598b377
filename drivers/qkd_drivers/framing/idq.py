"""ID Quantique's SCPI: integers in scaled units, words, and no error queue."""

import re

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused
from qkd_drivers.framing.answers import text
from qkd_drivers.framing.scpi import ScpiWire
from qkd_drivers.transports import Transport


class IdqWire(ScpiWire):
    """One detector: settings are silent, so each is read back."""

    async def query_integer(self, command: str) -> int:
        """The answer as an integer; DeviceProtocolError if it is none."""
        return self._integer(command, await self.query(command))

    async def query_boolean(self, command: str) -> bool:
        """The answer TRUE or FALSE."""
        answer = (await self.query(command)).upper()
        if answer not in ("TRUE", "FALSE"):
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {command!r}: {answer!r} is not a boolean")
        return answer == "TRUE"

    async def set(self, header: str, value: int | bool) -> None:
        """Sets, then reads back; DeviceRefused if the device holds something else."""
        told = str(value).upper()
        async with self.transaction(repr(f"{header} {told}")) as transport:
            await self.send(transport, f"{header} {told}\n".encode())
            held = text(await self._exchange(transport, f"{header}?\n".encode(), rb"\n"))
        if isinstance(value, bool):
            same = held.upper() == told
        else:
            same = self._integer(f"{header}?", held) == value
        if not same:
            raise DeviceRefused(f"{self.device}: '{header} {told}': the device holds {held}")

    def _integer(self, asked: str, answer: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", answer):
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {asked!r}: {answer!r} is no integer")
        return int(answer)

    async def _errors_if_alive(self) -> list[str]:
        return []

    async def _error_queue(self, transport: Transport) -> list[str]:
        return []

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"INFO:PRODUCT_NAME?\n", rb"[^\n]*ID\d+[^\n]*\n"

"""S-Fifteen boxes: ``query;`` and ``setting value``."""

import re

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused
from qkd_drivers.framing.answers import leading_number, text
from qkd_drivers.framing.wire import Trace, Wire
from qkd_drivers.transports import Transport


class S15Wire(Wire):
    """S-Fifteen boxes: ``query;`` → ``text CR LF``; settings are silent unless refused."""

    def __init__(
        self, transport: Transport, device: str, model_mark: str, trace: Trace | None = None
    ) -> None:
        super().__init__(transport, device, trace)
        self._mark = model_mark

    async def query(self, command: str, *, timeout_s: float | None = None) -> str:
        """The one-line answer to a query."""
        answer = await self.exchange(f"{command};".encode(), rb"\r?\n", timeout_s=timeout_s)
        return text(answer)

    async def query_number(self, command: str, *, timeout_s: float | None = None) -> float:
        """The number an answer begins with; DeviceProtocolError if it is none."""
        return self._number(command, await self.query(command, timeout_s=timeout_s))

    async def command(self, command: str) -> None:
        """Sends a setting that cannot be read back."""
        async with self.transaction(repr(command)) as transport:
            await self.send(transport, f"{command}\r\n".encode())

    async def set_number(
        self, command: str, value: float, *, tolerance: float, digits: int = 3
    ) -> None:
        """Sets, then reads back; DeviceRefused if the device complains or holds another value."""
        told = f"{value:.{digits}f}" if digits else str(round(value))
        asked = f"{command} {told}"
        async with self.transaction(repr(asked)) as transport:
            await self.send(transport, f"{asked}\r\n".encode())
            answer = text(await self._exchange(transport, f"{command}?;".encode(), rb"\r?\n"))
            complaint = "" if leading_number(answer) is not None else answer
            if complaint:
                answer = text(await transport.read_until(rb"\r?\n", timeout_s=self.reply_timeout_s))
        if complaint:
            raise DeviceRefused(f"{self.device}: {asked!r}: the device says {complaint!r}")
        held = self._number(f"{command}?", answer)
        if abs(held - value) > tolerance:
            raise DeviceRefused(f"{self.device}: {asked!r}: the device still holds {held:g}")

    def _number(self, asked: str, answer: str) -> float:
        number = leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {asked!r}: {answer!r} is not a number")
        return number

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"*IDN?;", rb"[^\r\n]*" + re.escape(self._mark.encode()) + rb"[^\r\n]*\r?\n"

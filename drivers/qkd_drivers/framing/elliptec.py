"""Thorlabs Elliptec: short ASCII messages with an address, several devices on one port."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceTripped
from qkd_drivers.framing.wire import Trace, Wire
from qkd_drivers.transports import SharedTransport, Transport

_LINE = rb"\r?\n"
_REPLY = re.compile(r"([0-9A-F])([A-Z][A-Z0-9])([0-9A-F]*)")
_UNASKED = ("BS", "BO")  # a button was pressed, and where the stage stands since
_BUSY = 9
_PROTECTIONS = {8: "thermal protection", 13: "over-current protection"}
_STATUSES = {
    1: "communication time-out",
    2: "mechanical time-out",
    3: "command error or not supported",
    4: "value out of range",
    5: "module isolated",
    6: "module out of isolation",
    7: "initialisation error",
    _BUSY: "busy",
    10: "sensor error",
    11: "motor error",
    12: "out of range",
}
_BUSY_PAUSE_S = 0.1


@dataclass(frozen=True)
class Reply:
    """What one device of the bus says: two letters and hexadecimal digits."""

    code: str
    data: str


class ElliptecWire(Wire):
    """One device: ``address command data`` → ``address CODE data CR LF``.

    The bus is held for a whole request, even for the seconds of a move: these devices answer a
    move when it ends, and several motors at once overload the supply of the bus.
    """

    def __init__(
        self,
        transport: SharedTransport,
        address: str,
        device: str,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(transport, device, trace)
        self._bus = transport
        self._address = address

    @asynccontextmanager
    async def transaction(self, asked: str) -> AsyncIterator[Transport]:
        async with self._bus.turn(), super().transaction(asked) as transport:
            yield transport

    async def ask(
        self, command: str, data: str = "", *, reply: str, timeout_s: float | None = None
    ) -> Reply:
        """The reply with the code that is wanted.

        A status that is not 0 is DeviceRefused, or DeviceTripped for a protection; the device
        forgets it by being asked for it.
        """
        request = f"{self._address}{command}{data}".encode()
        timeout_s = self.reply_timeout_s if timeout_s is None else timeout_s
        async with self.transaction(repr(request)) as transport:
            self._busy_until_s = time.monotonic() + timeout_s
            await self.send(transport, request)
            answer = await self._answer(transport, timeout_s)
            self._busy_until_s = 0.0
            status = int(answer.data or "0", 16) if answer.code == "GS" else 0
            if status and command != "gs":
                await self.send(transport, f"{self._address}gs".encode())
                await self._answer(transport, self.reply_timeout_s)
        if status in _PROTECTIONS:
            raise DeviceTripped(f"{self.device}: {request!r}: {_PROTECTIONS[status]} has acted")
        if status:
            told = _STATUSES.get(status, "a status that is not documented")
            raise DeviceRefused(f"{self.device}: {request!r}: the device says {status}: {told}")
        if answer.code != reply:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {request!r}: {answer} is no {reply}")
        return answer

    async def _answer(self, transport: Transport, timeout_s: float) -> Reply:
        """The next line of this device that was asked for."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = await transport.read_until(
                _LINE, timeout_s=max(0.001, deadline - time.monotonic())
            )
            self.note("<", line)
            told = line.decode("ascii", "replace").strip()
            match = _REPLY.fullmatch(told)
            if match is None:
                raise DeviceProtocolError(f"{told!r} is no message of this bus")
            address, code, data = match.groups()
            if address == self._address and code not in _UNASKED:
                return Reply(code, data)

    async def _resynchronise(self) -> None:
        if not self._fresh:
            await self.transport.resynchronise()
        self._fresh = False
        await self.transport.drain()
        # A device that is still moving answers everything with "busy".
        deadline = max(time.monotonic() + self.reply_timeout_s, self._busy_until_s + 1.0)
        request, pattern = self._landmark()
        while True:
            await self.send(self.transport, request)
            left_s = max(0.001, deadline - time.monotonic())
            answer = await self.transport.read_until(pattern, timeout_s=left_s)
            self.note("<", answer)
            if f"{self._address}IN".encode() in answer:
                break
            if time.monotonic() > deadline:
                raise DeviceTimeout("the device stays busy")
            await asyncio.sleep(_BUSY_PAUSE_S)
        self.note("<", await self.transport.drain(quiet_s=0.02, limit_s=0.5))
        self._busy_until_s = 0.0

    def _landmark(self) -> tuple[bytes, bytes]:
        address = self._address.encode()
        whole = address + rb"IN[0-9A-F]{30}\r?\n|" + address + rb"GS09\r?\n"
        return address + b"in", whole

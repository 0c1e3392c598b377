"""Request and reply over a transport, one class a protocol family.

A ``Wire`` holds one transaction at a time. After a timeout, a cancellation or a torn reply it is
in doubt and resynchronises before the next request, so that a late reply is never taken for the
answer to a later question: the medium is cleaned first (``Transport.resynchronise``), then a
question whose answer is unmistakable is asked and everything before that answer is dropped. These
instruments answer in order.
"""

import asyncio
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from qkd_drivers.errors import DeviceError, DeviceProtocolError, DeviceRefused, DeviceTimeout
from qkd_drivers.transports import Transport

_OZ_END = rb"(?i)(^|\n)(done|error[^\n]*)\r?\n"


@dataclass(frozen=True)
class TraceEntry:
    """One request or reply as it went over the wire."""

    monotonic_s: float
    device: str
    direction: Literal[">", "<", "!"]
    """To the device, from the device, or a fault."""
    data: bytes


Trace = Callable[[TraceEntry], None]


class Wire(ABC):
    """One instrument's transport, its lock and its doubt."""

    reply_timeout_s = 2.0
    """How long an answer may take, where the request sets no time of its own."""

    def __init__(self, transport: Transport, device: str, trace: Trace | None = None) -> None:
        self.transport = transport
        self.device = device
        self._trace = trace
        self._lock = asyncio.Lock()
        self._in_doubt = True
        self._fresh = False
        self._busy_until_s = 0.0

    async def open(self) -> None:
        """Opens the transport; the first transaction clears what an earlier session left."""
        try:
            await self.transport.open()
        except DeviceError as error:
            raise error.about(self.device, "connect") from error
        self._lock = asyncio.Lock()  # a user of the last connection may still hold its own
        self._in_doubt = self._fresh = True

    async def close(self) -> None:
        """Always works."""
        await self.transport.close()

    @asynccontextmanager
    async def transaction(self, asked: str) -> AsyncIterator[Transport]:
        """The transport, for one request and its reply; asked names it in errors."""
        async with self._lock:
            try:
                if self._in_doubt:
                    await self._resynchronise()
                if unasked := self.transport.discard():
                    self.note("<", unasked)
                self._in_doubt = True
                yield self.transport
                self._in_doubt = False
            except DeviceError as error:
                self.note("!", str(error).encode())
                raise error.about(self.device, asked) from error

    async def exchange(
        self, request: bytes, reply: bytes, *, timeout_s: float | None = None
    ) -> bytes:
        """Sends request and returns all bytes up to the match of the pattern reply."""
        async with self.transaction(repr(request)) as transport:
            return await self._exchange(transport, request, reply, timeout_s)

    def doubt(self) -> None:
        """Makes the next transaction resynchronise first."""
        self._in_doubt = True

    def note(self, direction: Literal[">", "<", "!"], data: bytes) -> None:
        """Tells the trace hook, if there is one."""
        if self._trace is not None:
            self._trace(TraceEntry(time.monotonic(), self.device, direction, data))

    async def _exchange(
        self, transport: Transport, request: bytes, reply: bytes, timeout_s: float | None = None
    ) -> bytes:
        timeout_s = self.reply_timeout_s if timeout_s is None else timeout_s
        # A device that works on a request (a counting gate) is deaf until it is done.
        self._busy_until_s = max(self._busy_until_s, time.monotonic() + timeout_s)
        await self.send(transport, request)
        answer = await transport.read_until(reply, timeout_s=timeout_s)
        self._busy_until_s = 0.0
        self.note("<", answer)
        return answer

    async def send(self, transport: Transport, request: bytes) -> None:
        """Writes within a transaction, and tells the trace hook."""
        self.note(">", request)
        await transport.write(request)

    async def _resynchronise(self) -> None:
        if not self._fresh:
            await self.transport.resynchronise()
        self._fresh = False
        if self.transport.late_replies:
            await self._quieten()
        request, pattern = self._landmark()
        patience_s = max(self.reply_timeout_s, self._busy_until_s - time.monotonic() + 1.0)
        await self.send(self.transport, request)
        self.note("<", await self.transport.read_until(pattern, timeout_s=patience_s))
        if self.transport.late_replies:
            # The answer to the landmark of an earlier, unanswered try may be on its way too.
            self.note("<", await self.transport.drain(quiet_s=0.02, limit_s=0.5))
        self._busy_until_s = 0.0

    async def _quieten(self) -> None:
        """Takes what the device sends unasked off the wire; subclasses stop it first."""
        await self.transport.drain()

    @abstractmethod
    def _landmark(self) -> tuple[bytes, bytes]:
        """A question with an unmistakable answer, and the pattern of that answer."""


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
        return _text(answer)

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
            answer = _text(await self._exchange(transport, f"{command}?;".encode(), rb"\r?\n"))
            complaint = "" if _leading_number(answer) is not None else answer
            if complaint:
                answer = _text(
                    await transport.read_until(rb"\r?\n", timeout_s=self.reply_timeout_s)
                )
        if complaint:
            raise DeviceRefused(f"{self.device}: {asked!r}: the device says {complaint!r}")
        held = self._number(f"{command}?", answer)
        if abs(held - value) > tolerance:
            raise DeviceRefused(f"{self.device}: {asked!r}: the device still holds {held:g}")

    def _number(self, asked: str, answer: str) -> float:
        number = _leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {asked!r}: {answer!r} is not a number")
        return number

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"*IDN?;", rb"[^\r\n]*" + re.escape(self._mark.encode()) + rb"[^\r\n]*\r?\n"


class ScpiWire(Wire):
    """SCPI with an error queue (SCPI-99 vol. 2, 21.8), LF at the end of each message."""

    async def query(self, command: str, *, timeout_s: float | None = None) -> str:
        """The answer; DeviceRefused if the device queues an error instead of answering."""
        try:
            answer = await self.exchange(f"{command}\n".encode(), rb"\n", timeout_s=timeout_s)
        except DeviceTimeout as late:
            # A device that does not understand a query stays silent and queues an error.
            if errors := await self._errors_if_alive():
                raise DeviceRefused(
                    f"{self.device}: {command!r}: the device says {'; '.join(errors)}"
                ) from late
            raise
        return _text(answer)

    async def query_number(self, command: str) -> float:
        """The answer as a number in SI units."""
        answer = await self.query(command)
        number = _leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {command!r}: {answer!r} is not a number")
        return number

    async def command(self, command: str) -> None:
        """Sends a setting and empties the error queue: DeviceRefused names what was in it."""
        async with self.transaction(repr(command)) as transport:
            await self.send(transport, f"{command}\n".encode())
            errors = await self._error_queue(transport)
        if errors:
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {'; '.join(errors)}")

    async def errors(self) -> list[str]:
        """Takes all entries from the error queue, oldest first."""
        async with self.transaction("'SYST:ERR?'") as transport:
            return await self._error_queue(transport)

    async def _errors_if_alive(self) -> list[str]:
        try:
            return await self.errors()
        except DeviceError:
            return []

    async def _error_queue(self, transport: Transport) -> list[str]:
        errors: list[str] = []
        for _ in range(100):
            entry = _text(await self._exchange(transport, b"SYST:ERR?\n", rb"\n"))
            code = _leading_number(entry.partition(",")[0])
            if code is None:
                raise DeviceProtocolError(f"{entry!r} is not an entry of an error queue")
            if code == 0:
                return errors
            errors.append(entry)
        raise DeviceProtocolError("the error queue does not get empty")

    def _landmark(self) -> tuple[bytes, bytes]:
        return b"*IDN?\n", rb"[^\n,]*(,[^\n,]*){3}\n"


class OzWire(Wire):
    """OZ Optics: ``command CR LF`` → content lines, then ``Done``."""

    async def ask(self, command: str, *, timeout_s: float | None = None) -> str:
        """The content before ``Done``: empty for a setting that was accepted."""
        answer = await self.exchange(f"{command}\r\n".encode(), _OZ_END, timeout_s=timeout_s)
        lines = [line.strip() for line in answer.decode("ascii", "replace").splitlines()]
        return "\n".join(line for line in lines if line and line.lower() != "done")

    def _landmark(self) -> tuple[bytes, bytes]:
        # The waveform is asked for nowhere else, so its answer cannot be an old one.
        return b"WF?\r\n", rb"(?i)waveform[^\n]*\n(?:[^\n]*\n)*?done\r?\n"


def _text(answer: bytes) -> str:
    return answer.decode("ascii", "replace").strip()


def _leading_number(text: str) -> float | None:
    match = re.match(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text.strip(), re.IGNORECASE)
    return float(match[0]) if match else None

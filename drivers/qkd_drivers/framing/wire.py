"""Request and reply over a transport, one class a protocol family.

A ``Wire`` holds one transaction at a time. After a timeout, a cancellation or a torn reply it is
in doubt and resynchronises before the next request, so that a late reply is never taken for the
answer to a later question: the medium is cleaned first (``Transport.resynchronise``), then a
question whose answer is unmistakable is asked and everything before that answer is dropped. These
instruments answer in order.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal

from qkd_drivers.errors import DeviceError, DeviceMismatch, DeviceTimeout
from qkd_drivers.transports import Transport


@dataclass(frozen=True)
class TraceEntry:
    """One request or reply as it went over the wire."""

    monotonic_s: float
    device: str
    direction: Literal[">", "<", "!"]
    """To the device, from the device, or a fault."""
    data: bytes


Trace = Callable[[TraceEntry], None]


class TraceSwitch:
    """A trace that can be switched on and off while a device is in use."""

    def __init__(self) -> None:
        self._sinks: list[Trace] = []

    def __call__(self, entry: TraceEntry) -> None:
        for sink in tuple(self._sinks):
            sink(entry)

    @property
    def on(self) -> bool:
        """Whether anybody listens."""
        return bool(self._sinks)

    @contextmanager
    def to(self, sink: Trace) -> Iterator[None]:
        """Tells sink everything for as long as this lasts."""
        self._sinks.append(sink)
        try:
            yield
        finally:
            self._sinks.remove(sink)


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
                await self._take_unasked()
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
        fresh, self._fresh = self._fresh, False
        if not fresh:
            await self.transport.resynchronise()
        if self.transport.late_replies:
            await self._quieten()
        request, pattern = self._landmark()
        patience_s = max(self.reply_timeout_s, self._busy_until_s - time.monotonic() + 1.0)
        await self.send(self.transport, request)
        try:
            self.note("<", await self.transport.read_until(pattern, timeout_s=patience_s))
        except DeviceTimeout as late:
            if fresh and late.partial:
                raise DeviceMismatch(
                    f"what is at this address answers {late.partial[:40]!r}, which this model "
                    "does not say: check the address and the firmware",
                    partial=late.partial,
                ) from late
            raise
        if self.transport.late_replies:
            # The answer to the landmark of an earlier, unanswered try may be on its way too.
            self.note("<", await self.transport.drain(quiet_s=0.02, limit_s=0.5))
        self._busy_until_s = 0.0

    async def _take_unasked(self) -> None:
        """What came since the last transaction answers nothing: it is noted and dropped."""
        if unasked := await self.transport.take_unasked():
            self.note("<", unasked)

    async def _quieten(self) -> None:
        """Takes what the device sends unasked off the wire; subclasses stop it first."""
        await self.transport.drain()

    @abstractmethod
    def _landmark(self) -> tuple[bytes, bytes]:
        """A question with an unmistakable answer, and the pattern of that answer."""

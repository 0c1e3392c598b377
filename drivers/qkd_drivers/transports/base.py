"""The contract of a transport, and the buffer behind those driven by the event loop."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable

from qkd_drivers.errors import DeviceError, DeviceLost, DeviceTimeout

BUFFER_LIMIT_BYTES = 8 << 20
"""Unread bytes held before reading pauses and the sender feels back-pressure."""


class Transport(ABC):
    """A byte pipe to one instrument.

    Reads keep what has arrived when they time out, so that nothing is lost or torn. Deadlines are
    monotonic. Every fault is a ``DeviceError``. One reader and one writer at a time: the caller
    (``framing.Wire``) holds the lock of the transaction.
    """

    late_replies = False
    """Whether a reply to an earlier request may still arrive after ``resynchronise``."""

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    async def open(self) -> None:
        """Raises DeviceNotFound, DeviceBusy, DeviceRefused or DeviceTimeout."""

    @abstractmethod
    async def close(self) -> None:
        """Always works, in any state, more than once."""

    @abstractmethod
    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        """Hands all of data to the wire."""

    @abstractmethod
    async def read_until(self, pattern: bytes, *, timeout_s: float) -> bytes:
        """Everything up to and including the first match of a regular expression."""

    @abstractmethod
    async def read_exactly(self, count: int, *, timeout_s: float) -> bytes:
        """Exactly count bytes."""

    @abstractmethod
    async def read_some(self, *, timeout_s: float) -> bytes:
        """Whatever has arrived, at least one byte."""

    @abstractmethod
    def discard(self) -> bytes:
        """Drops what has arrived and was not read; returns it."""

    async def take_unasked(self) -> bytes:
        """Drops what the device sent before it is asked, also what the medium still holds."""
        return self.discard()

    @abstractmethod
    async def drain(self, *, quiet_s: float = 0.05, limit_s: float = 1.0) -> bytes:
        """Reads until nothing came for quiet_s, at most for limit_s; returns what was read."""

    @abstractmethod
    async def resynchronise(self) -> None:
        """Leaves no reply of an earlier request on the wire, as far as the medium can promise.

        TCP reopens, HiSLIP clears the device, a serial port is drained: with ``late_replies`` the
        protocol on top must recognise what comes after that.
        """


class BufferedTransport(Transport):
    """A transport whose bytes are pushed in by the event loop."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._buffer = bytearray()
        self._arrival = asyncio.Event()
        self._fault: DeviceError | None = DeviceLost(f"{address} is not open")

    @property
    def is_open(self) -> bool:
        """Whether it was opened and has met no fault since."""
        return self._fault is None

    async def read_until(self, pattern: bytes, *, timeout_s: float) -> bytes:
        expression = re.compile(pattern)

        def whole() -> int:
            match = expression.search(self._buffer)
            return match.end() if match else 0

        return await self._take(whole, timeout_s)

    async def read_exactly(self, count: int, *, timeout_s: float) -> bytes:
        return await self._take(lambda: count if len(self._buffer) >= count else 0, timeout_s)

    async def read_some(self, *, timeout_s: float) -> bytes:
        return await self._take(lambda: len(self._buffer), timeout_s)

    def discard(self) -> bytes:
        dropped = bytes(self._buffer)
        self._buffer.clear()
        self._resume()
        return dropped

    async def take_unasked(self) -> bytes:
        # In two turns the loop fetches what the kernel holds.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.discard()

    async def drain(self, *, quiet_s: float = 0.05, limit_s: float = 1.0) -> bytes:
        read = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    read += await self.read_some(timeout_s=quiet_s)
        except (TimeoutError, DeviceTimeout):
            return bytes(read)

    def _start(self) -> None:
        self._buffer.clear()
        self._fault = None

    def _feed(self, data: bytes | memoryview) -> None:
        self._buffer += data
        self._arrival.set()
        if len(self._buffer) >= BUFFER_LIMIT_BYTES:
            self._pause()

    def _fail(self, fault: DeviceError) -> None:
        if self._fault is None:
            self._fault = fault
        self._arrival.set()

    def _check(self) -> None:
        if self._fault is not None:
            raise type(self._fault)(str(self._fault), partial=bytes(self._buffer))

    async def _take(self, ready: Callable[[], int], timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                while not (count := ready()):
                    self._check()
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            kept = bytes(self._buffer)
            raise DeviceTimeout(
                f"no complete reply from {self.address} within {timeout_s:g} s, "
                f"{len(kept)} bytes came: {kept[:40]!r}",
                partial=kept,
            ) from None
        with memoryview(self._buffer) as came:
            data = bytes(came[:count])
        del self._buffer[:count]
        if len(self._buffer) < BUFFER_LIMIT_BYTES:
            self._resume()
        return data

    @abstractmethod
    def _pause(self) -> None:
        """Stops feeding."""

    @abstractmethod
    def _resume(self) -> None:
        """Feeds again; harmless when it never stopped."""

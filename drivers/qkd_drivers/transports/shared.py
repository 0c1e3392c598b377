"""One serial port for several devices: a bus on which they take turns."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from qkd_drivers.errors import DeviceLost, DeviceRefused
from qkd_drivers.transports.base import Transport
from qkd_drivers.transports.serial import SerialTransport


@dataclass
class _Port:
    transport: SerialTransport
    baud: int
    users: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


# By the device file behind all symbolic links, since two names may mean one port.
_ports: dict[str, _Port] = {}


class SharedTransport(Transport):
    """A seat at a port. The first to open it opens the port, the last to close it closes it.

    Whoever finds the port lost opens it again for all. Use the wire only within `turn`.
    """

    late_replies = True

    def __init__(self, address: str, port: str, baud: int) -> None:
        super().__init__(address)
        self._name = port
        self._baud = baud
        self._file = ""
        self._seat: _Port | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The wire for this device alone; the others wait."""
        async with self._port.turn:
            yield

    async def open(self) -> None:
        await self.close()
        self._file = os.path.realpath(self._name)
        port = _ports.setdefault(
            self._file,
            _Port(SerialTransport(f"serial:{self._name}", self._name, self._baud), self._baud),
        )
        if port.baud != self._baud:
            raise DeviceRefused(
                f"{self.address}: another device runs this port at {port.baud} baud"
            )
        port.users += 1
        self._seat = port
        try:
            async with port.turn:
                if not port.transport.is_open:
                    await port.transport.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        port, self._seat = self._seat, None
        if port is None:
            return
        port.users -= 1
        if port.users == 0:
            if _ports.get(self._file) is port:
                del _ports[self._file]
            await port.transport.close()

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        await self._port.transport.write(data, timeout_s=timeout_s)

    async def read_until(self, pattern: bytes, *, timeout_s: float) -> bytes:
        return await self._port.transport.read_until(pattern, timeout_s=timeout_s)

    async def read_exactly(self, count: int, *, timeout_s: float) -> bytes:
        return await self._port.transport.read_exactly(count, timeout_s=timeout_s)

    async def read_some(self, *, timeout_s: float) -> bytes:
        return await self._port.transport.read_some(timeout_s=timeout_s)

    def discard(self) -> bytes:
        return self._port.transport.discard()

    async def take_unasked(self) -> bytes:
        return await self._port.transport.take_unasked()

    async def drain(self, *, quiet_s: float = 0.05, limit_s: float = 1.0) -> bytes:
        return await self._port.transport.drain(quiet_s=quiet_s, limit_s=limit_s)

    async def resynchronise(self) -> None:
        await self._port.transport.resynchronise()

    @property
    def _port(self) -> _Port:
        if self._seat is None:
            raise DeviceLost(f"{self.address} is not open")
        return self._seat

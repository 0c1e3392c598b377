"""Plain TCP sockets."""

import asyncio
import errno
import socket

from qkd_drivers.errors import DeviceLost, DeviceNotFound, DeviceRefused, DeviceTimeout
from qkd_drivers.transports.base import BufferedTransport

OPEN_TIMEOUT_S = 3.0


class TcpTransport(BufferedTransport):
    """A TCP connection to an instrument's raw socket."""

    def __init__(self, address: str, host: str, port: int) -> None:
        super().__init__(address)
        self._host = host
        self._port = port
        self._wire: _Wire | None = None
        self._opening: _Wire | None = None

    async def open(self) -> None:
        """The last to open or close has the connection; DeviceLost tells the one before."""
        wire = self._opening = _Wire(self)
        await self._let_go()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await loop.create_connection(lambda: wire, self._host, self._port)
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} did not accept a connection within {OPEN_TIMEOUT_S:g} s"
            ) from None
        except OSError as error:
            raise connect_fault(self.address, error) from error
        if wire is not self._wire:
            await wire.abort()
            raise DeviceLost(f"{self.address} was closed while it was being opened")

    async def close(self) -> None:
        self._opening = None
        await self._let_go()

    async def _let_go(self) -> None:
        self._fail(DeviceLost(f"{self.address} is not open"))
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.abort()

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        self._check()
        assert self._wire is not None
        self._wire.transport.write(data)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wire.writable.wait()
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} took no data for {timeout_s:g} s: it hangs or the network is cut"
            ) from None
        self._check()

    async def resynchronise(self) -> None:
        await self.open()

    def begin(self, wire: "_Wire") -> None:
        """Called by the connection once made; one that nobody waits for any more stays out."""
        if wire is self._opening:
            self._wire = wire
            self._start()

    def received(self, wire: "_Wire", data: bytes) -> None:
        """Called by the connection for all that arrives."""
        if wire is self._wire:
            self._feed(data)

    def lost(self, wire: "_Wire", cause: str) -> None:
        """Called by the connection at its end."""
        if wire is self._wire:
            self._fail(DeviceLost(f"{self.address} {cause}"))

    def _pause(self) -> None:
        if self._wire is not None:
            self._wire.transport.pause_reading()

    def _resume(self) -> None:
        if self._wire is not None and not self._wire.transport.is_closing():
            self._wire.transport.resume_reading()


class _Wire(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, owner: TcpTransport) -> None:
        self._owner = owner
        self.writable = asyncio.Event()
        self.writable.set()
        self.closed = asyncio.Event()

    async def abort(self) -> None:
        """Ends the connection; what was not sent yet is dropped."""
        self.transport.abort()
        await self.closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._owner.begin(self)

    def data_received(self, data: bytes) -> None:
        self._owner.received(self, data)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        cause = f"broke the connection ({error})" if error else "closed the connection"
        self._owner.lost(self, cause)
        self.writable.set()
        self.closed.set()


def connect_fault(address: str, error: OSError) -> DeviceNotFound | DeviceRefused:
    """The error to raise when a TCP connection could not be made."""
    if isinstance(error, socket.gaierror):
        return DeviceNotFound(f"{address}: the host name is unknown ({error.strerror})")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return DeviceNotFound(f"{address}: the host cannot be reached: check cable and network")
    if isinstance(error, ConnectionRefusedError):
        return DeviceRefused(f"{address} refused the connection: is the instrument switched on?")
    return DeviceRefused(f"{address} cannot be reached: {error}")

"""Frames that a ZeroMQ peer sends, read piece by piece into memory of the reader's."""

import asyncio
import socket

from qkd_drivers.errors import DeviceLost, DeviceProtocolError, DeviceTimeout
from qkd_drivers.transports.tcp import OPEN_TIMEOUT_S, connect_fault
from qkd_drivers.transports.zeromq import dropped_fault
from qkd_drivers.transports.zmtp import Frame, Greeted, Need, Say, ZmtpError, conversation


class ZeromqStream:
    """Frames that a peer sends on a PAIR socket; one reader at a time.

    Nothing is read before it is asked for: beyond what the kernel holds, the sender waits. What had
    come of a frame when a read was given up is kept.
    """

    def __init__(self, address: str, host: str, port: int) -> None:
        self.address = address
        self.left_bytes = 0
        """Of the frame that has begun, still to be read."""
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._arrival = asyncio.Event()
        self._start()

    async def open(self) -> None:
        """DeviceNotFound, DeviceRefused or DeviceTimeout as for TCP, DeviceRefused also for a peer
        that hangs up at once; DeviceProtocolError if it does not speak ZeroMQ."""
        self.close()
        self._start()
        awaited = "accept a connection"
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                self._socket = await self._connected()
                awaited = "greet"
                await self._converse()
        except BaseException as error:
            self.close()
            match error:
                case TimeoutError():
                    raise DeviceTimeout(
                        f"{self.address} did not {awaited} within {OPEN_TIMEOUT_S:g} s"
                    ) from None
                case OSError():
                    raise connect_fault(self.address, error) from error
                case DeviceLost():
                    raise dropped_fault(self.address) from error
            raise

    def close(self) -> None:
        """Always works, at once and more than once; whoever reads is told that it is not open."""
        connection, self._socket = self._socket, None
        if connection is not None:
            asyncio.get_running_loop().remove_reader(connection)
            connection.close()
        self._arrival.set()

    async def begin(self, *, timeout_s: float) -> int:
        """The bytes of the next frame, which are to be read; all of the last one were.

        DeviceTimeout, DeviceLost; DeviceProtocolError for what no PAIR socket sends.
        """
        if self.left_bytes:
            raise ValueError(f"{self.left_bytes} bytes of the last frame were not read")
        try:
            async with asyncio.timeout(timeout_s):
                step = await self._converse()
        except TimeoutError:
            raise self._silence(timeout_s) from None
        assert isinstance(step, Frame)
        self.left_bytes = step.size_bytes
        return step.size_bytes

    async def read_into(self, memory: memoryview, *, timeout_s: float) -> None:
        """Fills memory from the frame, which has as much left. DeviceTimeout if nothing comes for
        timeout_s, DeviceLost."""
        if len(memory) > self.left_bytes:
            raise ValueError(f"the frame has {self.left_bytes} bytes left, not {len(memory)}")
        while memory:
            size = self._received(memory)
            if size is None:
                try:
                    async with asyncio.timeout(timeout_s):
                        await self._arrived(len(memory))
                except TimeoutError:
                    raise self._silence(timeout_s) from None
                continue
            self.left_bytes -= size
            memory = memory[size:]

    def _start(self) -> None:
        self._conversation = conversation()
        self._step = next(self._conversation)
        self._fed = bytearray()
        self.left_bytes = 0

    async def _converse(self) -> Greeted | Frame:
        """Up to the next step that is not between the two ends alone."""
        try:
            while True:
                match self._step:
                    case Need(size_bytes):
                        while len(self._fed) < size_bytes:
                            await self._feed(size_bytes - len(self._fed))
                        fed, self._fed = bytes(self._fed), bytearray()
                        self._step = self._conversation.send(fed)
                    case Say(data):
                        await self._send(data)
                        self._step = next(self._conversation)
                    case step:
                        self._step = next(self._conversation)
                        return step
        except ZmtpError as error:
            raise DeviceProtocolError(f"{self.address} does not speak ZeroMQ: {error}") from None

    async def _feed(self, most_bytes: int) -> None:
        piece = memoryview(bytearray(most_bytes))
        while (size := self._received(piece)) is None:
            await self._arrived(1)
        self._fed += piece[:size]

    async def _send(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._connection(), data)
        except OSError as error:
            raise self._broken(error) from None

    def _received(self, memory: memoryview) -> int | None:
        """What has come already, None if nothing has."""
        try:
            size = self._connection().recv_into(memory)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._broken(error) from None
        if not size:
            raise DeviceLost(f"{self.address} closed the connection")
        return size

    async def _arrived(self, size_bytes: int) -> None:
        """Waits for so many bytes, or as many as the kernel cares to hold, or the end."""
        connection, loop = self._connection(), asyncio.get_running_loop()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
        self._arrival.clear()
        loop.add_reader(connection, self._arrival.set)
        try:
            await self._arrival.wait()
        finally:
            if connection is self._socket:
                loop.remove_reader(connection)

    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise DeviceLost(f"{self.address} is not open")
        return self._socket

    def _broken(self, error: OSError) -> DeviceLost:
        return DeviceLost(f"{self.address} broke the connection ({error})")

    def _silence(self, timeout_s: float) -> DeviceTimeout:
        return DeviceTimeout(f"nothing came from {self.address} within {timeout_s:g} s")

    async def _connected(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        places = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for left, (family, kind, protocol, _, place) in enumerate(places, 1 - len(places)):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                await loop.sock_connect(connection, place)
                return connection
            except BaseException as error:
                connection.close()
                if not left or not isinstance(error, OSError):
                    raise
        raise OSError("the name has no address")

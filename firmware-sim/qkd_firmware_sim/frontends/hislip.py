"""HiSLIP 1.0 (IVI-6.1), as far as VISA libraries use it: overlap off, locks granted."""

import asyncio
import itertools
import struct
from dataclasses import dataclass, field

from qkd_firmware_sim.frontends.wire import IdleTimer, Wire
from qkd_firmware_sim.scpi import ScpiInstrument, ScpiSession

_HEADER = struct.Struct(">2sBBIQ")
_MAX_MESSAGE_BYTES = 1 << 20
_PROTOCOL_1_0 = 0x0100
_VENDOR = int.from_bytes(b"QL", "big")

INITIALIZE, INITIALIZE_RESPONSE, FATAL_ERROR, ERROR = 0, 1, 2, 3
ASYNC_LOCK, ASYNC_LOCK_RESPONSE, DATA, DATA_END = 4, 5, 6, 7
DEVICE_CLEAR_COMPLETE, DEVICE_CLEAR_ACKNOWLEDGE = 8, 9
ASYNC_REMOTE_LOCAL, ASYNC_REMOTE_LOCAL_RESPONSE, TRIGGER = 10, 11, 12
ASYNC_MAX_MESSAGE_SIZE, ASYNC_MAX_MESSAGE_SIZE_RESPONSE = 15, 16
ASYNC_INITIALIZE, ASYNC_INITIALIZE_RESPONSE, ASYNC_DEVICE_CLEAR = 17, 18, 19
ASYNC_STATUS_QUERY, ASYNC_STATUS_RESPONSE, ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 21, 22, 23
ASYNC_LOCK_INFO, ASYNC_LOCK_INFO_RESPONSE = 24, 25


@dataclass
class _Client:
    session: ScpiSession
    generation: int
    idle: IdleTimer
    message: bytearray = field(default_factory=bytearray)
    clearing: bool = False


@dataclass(frozen=True)
class _Message:
    kind: int
    control: int
    parameter: int
    payload: bytes


class HislipPort:
    """Serves an instrument as ``TCPIP::127.0.0.1::hislip0,<port>::INSTR``."""

    def __init__(
        self, instrument: ScpiInstrument, wire: Wire | None = None, *, port: int = 0
    ) -> None:
        self.wire = wire or Wire()
        self.last_progress_s = 0.0
        self.port = port
        self._instrument = instrument
        self._server: asyncio.Server | None = None
        self._clients: dict[int, _Client] = {}
        self._numbers = itertools.count(1)
        self._connections: set[asyncio.Task[None]] = set()
        self.wire.attach(self._apply, lambda data: None)

    @property
    def address(self) -> str:
        return f"visa:TCPIP::127.0.0.1::hislip0,{self.port}::INSTR"

    async def open(self) -> None:
        """Listens; port 0 becomes the port that the system chose and stays so."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stops listening and drops every client."""
        await self._stop_listening()
        await self._drop_clients()

    async def _drop_clients(self) -> None:
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _apply(self) -> None:
        if self.wire.cut:
            await self.close()
        elif self.wire.refused:
            await self._stop_listening()
        else:
            if self._server is None:
                await self.open()
            if self.wire.slams or self.wire.busy:
                await self._drop_clients()
        for client in self._clients.values():
            client.idle.restart()

    async def _stop_listening(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            # Python 3.11 leaks a connection that is just being let in when its server closes.
            await asyncio.sleep(0)
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        opened: int | None = None
        try:
            if self.wire.slams or self.wire.cut:
                return
            first = await _receive(reader)
            if self.wire.busy:
                _send(writer, FATAL_ERROR, 4, 0, b"maximum number of clients exceeded")
            elif first.kind == INITIALIZE:
                opened = next(self._numbers) & 0xFFFF
                idle = IdleTimer(self.wire, writer.transport.abort)
                client = _Client(self._instrument.session(), self.wire.generation, idle)
                client.idle.restart()
                self._clients[opened] = client
                _send(writer, INITIALIZE_RESPONSE, 0, _PROTOCOL_1_0 << 16 | opened)
                await self._synchronous(client, reader, writer)
            elif first.kind == ASYNC_INITIALIZE and first.parameter in self._clients:
                _send(writer, ASYNC_INITIALIZE_RESPONSE, 0, _VENDOR)
                await self._asynchronous(self._clients[first.parameter], reader, writer)
            else:
                _send(writer, FATAL_ERROR, 3, 0, b"invalid initialization sequence")
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, _BadHeader):
            pass
        except asyncio.CancelledError:
            # Closing the port cancels its connections, which is their proper end.
            pass
        finally:
            if opened is not None:
                self._clients.pop(opened).idle.stop()
            self._connections.discard(task)
            writer.close()

    async def _synchronous(
        self, client: _Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            message = await _receive(reader)
            client.idle.restart()
            if self._dead(client):
                continue
            if message.kind == DEVICE_CLEAR_COMPLETE:
                client.clearing = False
                client.message.clear()
                client.session.clear()
                _send(writer, DEVICE_CLEAR_ACKNOWLEDGE, 0, 0)
            elif client.clearing or message.kind == TRIGGER:
                continue
            elif message.kind in (DATA, DATA_END):
                client.message += message.payload
                if len(client.message) > _MAX_MESSAGE_BYTES:
                    client.message.clear()
                    _send(writer, ERROR, 4, 0, b"message too large")
                elif message.kind == DATA_END:
                    self._answer(client, message.parameter, writer)
            else:
                _send(writer, ERROR, 1, 0, b"unrecognized message type")
            await writer.drain()

    def _answer(self, client: _Client, number: int, writer: asyncio.StreamWriter) -> None:
        text = client.message.decode("ascii", "replace")
        client.message.clear()
        client.session.write(text)
        if not client.session.message_available:
            return
        response = (client.session.read() or "").encode("ascii", "replace") + b"\n"
        torn = self.wire.hangs_up_next
        data = self.wire.carry(response)
        if not data:
            return
        announced = len(response) if torn else len(data)

        def deliver() -> None:
            if not writer.is_closing():
                client.idle.restart()
                _send(writer, DATA_END, 0, number, data, announced)

        if self.wire.delay_s:
            asyncio.get_running_loop().call_later(self.wire.delay_s, deliver)
        else:
            deliver()

    async def _asynchronous(
        self, client: _Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            message = await _receive(reader)
            if self.wire.silent or self._dead(client):
                continue
            if message.kind == ASYNC_MAX_MESSAGE_SIZE:
                size = _MAX_MESSAGE_BYTES.to_bytes(8, "big")
                _send(writer, ASYNC_MAX_MESSAGE_SIZE_RESPONSE, 0, 0, size)
            elif message.kind == ASYNC_DEVICE_CLEAR:
                client.clearing = True
                _send(writer, ASYNC_DEVICE_CLEAR_ACKNOWLEDGE, 0, 0)
            elif message.kind == ASYNC_STATUS_QUERY:
                _send(writer, ASYNC_STATUS_RESPONSE, client.session.status_byte(), 0)
            elif message.kind == ASYNC_LOCK:
                _send(writer, ASYNC_LOCK_RESPONSE, 1, 0)
            elif message.kind == ASYNC_LOCK_INFO:
                _send(writer, ASYNC_LOCK_INFO_RESPONSE, 0, 0)
            elif message.kind == ASYNC_REMOTE_LOCAL:
                _send(writer, ASYNC_REMOTE_LOCAL_RESPONSE, 0, 0)
            else:
                _send(writer, ERROR, 1, 0, b"unrecognized message type")
            await writer.drain()

    def _dead(self, client: _Client) -> bool:
        return client.generation != self.wire.generation


class _BadHeader(Exception):
    """The peer does not speak HiSLIP."""


async def _receive(reader: asyncio.StreamReader) -> _Message:
    prologue, kind, control, parameter, length = _HEADER.unpack(
        await reader.readexactly(_HEADER.size)
    )
    if prologue != b"HS" or length > _MAX_MESSAGE_BYTES:
        raise _BadHeader
    return _Message(kind, control, parameter, await reader.readexactly(length))


def _send(
    writer: asyncio.StreamWriter,
    kind: int,
    control: int,
    parameter: int,
    payload: bytes = b"",
    announced: int | None = None,
) -> None:
    length = len(payload) if announced is None else announced
    writer.write(_HEADER.pack(b"HS", kind, control, parameter, length) + payload)

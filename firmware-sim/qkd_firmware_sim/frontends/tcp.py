"""A raw TCP socket, for several clients at once."""

import asyncio
from collections.abc import Callable

from qkd_firmware_sim.cores.core import HangsUp, Session
from qkd_firmware_sim.frontends.wire import IdleTimer, Outlet, Wire

_BUFFERED_BYTES = 65536


class TcpPort:
    """Serves a session to each client that connects on the loopback interface."""

    def __init__(
        self, session: Callable[[], Session], wire: Wire | None = None, *, port: int = 0
    ) -> None:
        self.wire = wire or Wire()
        self.port = port
        self.last_progress_s = 0.0
        self._session = session
        self._server: asyncio.Server | None = None
        self._turn = asyncio.Lock()  # a fault may end while the port is being opened
        self._discarded = False
        self._clients: set[_Client] = set()
        self.wire.attach(self._apply, self._inject)

    @property
    def address(self) -> str:
        return f"tcp:127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listens, if the wire lets; port 0 becomes the port that the system chose and stays so."""
        async with self._turn:
            await self._listen()

    async def close(self) -> None:
        """Stops listening and drops every client."""
        async with self._turn:
            await self._stop_listening()
            self._drop_clients()

    async def discard(self) -> None:
        """Closes for good: nothing that befalls the wire opens it again."""
        self._discarded = True
        self.wire.detach(self._apply, self._inject)
        await self.close()

    async def _apply(self) -> None:
        async with self._turn:
            if self.wire.cut or self.wire.refused:
                await self._stop_listening()
            else:
                await self._listen()
            if self.wire.cut or self.wire.slams:
                self._drop_clients()
        for client in self._clients:
            client.idle.restart()

    async def _listen(self) -> None:
        if self._server or self._discarded or self.wire.cut or self.wire.refused:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._client, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            # Python 3.11 leaks a connection that is just being let in when its server closes.
            await asyncio.sleep(0)
            server.close()

    def _drop_clients(self) -> None:
        for client in list(self._clients):
            client.drop()

    def _inject(self, data: bytes) -> None:
        for client in self._clients:
            client.inject(data)

    def _client(self) -> "_Client":
        return _Client(self._session(), self.wire, self._clients, self._progress)

    def _progress(self) -> None:
        self.last_progress_s = asyncio.get_running_loop().time()


class _Client(asyncio.Protocol):
    """One connection: reads whenever it can, writes while the client keeps up."""

    def __init__(
        self,
        session: Session,
        wire: Wire,
        clients: set["_Client"],
        progress: Callable[[], None],
    ) -> None:
        self._session = session
        self._progress = progress
        self._clients = clients
        self._wire = wire
        self._generation = wire.generation
        self._outlet = Outlet(session, wire, self._send)
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.idle = IdleTimer(wire, self.drop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._wire.slams or self._wire.cut:  # it was let in before
            transport.close()
            return
        transport.set_write_buffer_limits(high=_BUFFERED_BYTES)
        self._transport = transport
        self._clients.add(self)
        self.idle.restart()
        self._session.on_output = self._pump
        if isinstance(self._session, HangsUp):
            self._session.on_hang_up = self.drop

    def data_received(self, data: bytes) -> None:
        if self._dead:
            return
        self.idle.restart()
        self._outlet.hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.on_output = lambda: None
        self._outlet.close()
        self._clients.discard(self)
        self.idle.stop()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def inject(self, data: bytes) -> None:
        self._outlet.inject(data)

    @property
    def _dead(self) -> bool:
        return self._generation != self._wire.generation

    def _pump(self) -> None:
        self._outlet.pump()

    def _send(self, data: bytes) -> int:
        if self._transport is None or self._paused:
            return 0
        if self._dead:
            return len(data)
        self._transport.write(data)
        self.idle.restart()
        self._progress()
        return len(data)

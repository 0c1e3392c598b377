"""ZeroMQ sockets: requests to an instrument and to the service on its host, and its streams.

Requests come on ROUTER sockets, which serve REQ clients as a REP socket does but may also leave
one unanswered. Each acquisition has a PAIR socket of its own on the port that the client chose.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import zmq
import zmq.asyncio

from qkd_firmware_sim.cores.id900_link import Acquisition, DataLink
from qkd_firmware_sim.frontends.wire import Wire

_HOST = "tcp://127.0.0.1"
_FRAMES_QUEUED = 1


class Instrument(Protocol):
    """What is served: SCPI messages, and a service with streams."""

    link: DataLink

    def execute(self, message: str) -> str | None: ...


class ZmtpPort:
    """Serves any number of clients on the loopback interface."""

    def __init__(
        self,
        instrument: Instrument,
        wire: Wire | None = None,
        *,
        port: int = 0,
        service_port: int = 0,
    ) -> None:
        self.wire = wire or Wire()
        self.port = port
        self.service_port = service_port
        self.last_progress_s = 0.0
        self._instrument = instrument
        self._context: zmq.asyncio.Context | None = None
        self._listening: list[tuple[zmq.asyncio.Socket, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: dict[str, asyncio.Task[None]] = {}
        self.wire.attach(self._apply, lambda data: None)  # a REQ client takes answers only

    @property
    def address(self) -> str:
        return f"zeromq:127.0.0.1:{self.port}?service=127.0.0.1:{self.service_port}"

    async def open(self) -> None:
        """Listens; port 0 becomes the port that the system chose and stays so."""
        self._context = zmq.asyncio.Context()
        self.port = await self._serve(self.port, lambda text: self._instrument.execute(text) or "")
        self.service_port = await self._serve(self.service_port, self._instrument.link.execute)
        await self._attend()

    async def close(self) -> None:
        """Stops listening and drops every client."""
        context, self._context = self._context, None
        tasks = [*self._tasks, *self._streams.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._streams.clear()
        self._listening.clear()
        if context is not None:
            context.destroy(linger=0)

    async def _apply(self) -> None:
        if self.wire.cut:
            await self.close()
        elif self.wire.refused:
            for socket, endpoint in self._listening:
                socket.unbind(endpoint)
            self._listening.clear()
        elif self._context is None or not self._listening:
            await self.close()
            await self.open()

    async def _serve(self, port: int, execute: Callable[[str], str]) -> int:
        """Answers requests on a port, 0 for one that is free; returns it."""
        assert self._context is not None
        socket: zmq.asyncio.Socket = self._context.socket(zmq.ROUTER)
        endpoint = await _bind(socket, port)
        self._listening.append((socket, endpoint))
        self._keep(self._answer(socket, execute))
        return int(endpoint.rpartition(":")[2])

    async def _answer(self, socket: zmq.asyncio.Socket, execute: Callable[[str], str]) -> None:
        while True:
            *envelope, request = await socket.recv_multipart()
            answer = execute(request.decode("utf-8", "replace").strip())
            await self._attend()
            carried = self.wire.carry(answer.encode())
            if self.wire.hanging_up or (answer and not carried):
                continue
            self._keep(self._send(socket, [*envelope, carried], self.wire.delay_s))

    async def _send(self, socket: zmq.asyncio.Socket, frames: list[bytes], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await socket.send_multipart(frames)

    async def _attend(self) -> None:
        """Gives each acquisition its socket, and takes those of ended ones away."""
        link = self._instrument.link
        for name in set(self._streams) - set(link.acquisitions):
            await self._end(name)
        for name, acquisition in list(link.acquisitions.items()):
            if name not in self._streams and self._context is not None:
                await self._begin(self._context, acquisition)

    async def _begin(self, context: zmq.asyncio.Context, acquisition: Acquisition) -> None:
        socket: zmq.asyncio.Socket = context.socket(zmq.PAIR)
        socket.setsockopt(zmq.SNDHWM, _FRAMES_QUEUED)
        socket.setsockopt(zmq.LINGER, 0)
        try:
            await _bind(socket, acquisition.port)
        except OSError:
            socket.close()
            self._instrument.link.withdraw(acquisition.name)
            return
        self._streams[acquisition.name] = asyncio.create_task(self._stream(socket, acquisition))

    async def _end(self, name: str) -> None:
        task = self._streams.pop(name)
        task.cancel()
        await asyncio.wait({task})

    async def _stream(self, socket: zmq.asyncio.Socket, acquisition: Acquisition) -> None:
        """Sends frames as fast as the client takes them."""
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        acquisition.on_frame = came.set
        try:
            while True:
                while acquisition.queue:
                    frame = self.wire.carry(acquisition.queue[0])
                    if self.wire.delay_s:
                        await asyncio.sleep(self.wire.delay_s)
                    if frame or not acquisition.queue[0]:
                        await socket.send(frame, copy=False)
                    acquisition.queue.popleft()
                    self.last_progress_s = loop.time()
                came.clear()
                await came.wait()
        finally:
            acquisition.on_frame = lambda: None
            socket.close(linger=0)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _bind(socket: zmq.asyncio.Socket, port: int) -> str:
    """Binds; a port that was in use a moment ago is free again only once its last user is gone."""
    for patience in range(100, -1, -1):
        try:
            socket.bind(f"{_HOST}:{port or '*'}")
            break
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or not patience:
                raise OSError(error.errno, error.strerror) from error
            await asyncio.sleep(0.005)
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))

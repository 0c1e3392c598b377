"""ZeroMQ sockets: requests to an instrument and to the service on its host, and its streams.

Requests are answered by REP sockets. Each acquisition has a PAIR socket of its own on the port that
the client chose. All are TCP ports, and whatever befalls those befalls these.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from qkd_firmware_sim.cores.id900_link import Acquisition, DataLink
from qkd_firmware_sim.frontends.tcp import TcpPort
from qkd_firmware_sim.frontends.wire import Wire
from qkd_firmware_sim.frontends.zmtp_sessions import RepSession, StreamSession


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
        self._instrument = instrument
        self._box = TcpPort(lambda: RepSession(self._ask, self.wire), self.wire, port=port)
        self._service = TcpPort(
            lambda: RepSession(self._serve, self.wire), self.wire, port=service_port
        )
        self._streams: dict[str, TcpPort] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._last_progress_s = 0.0

    @property
    def address(self) -> str:
        return f"zeromq:127.0.0.1:{self._box.port}?service=127.0.0.1:{self._service.port}"

    @property
    def last_progress_s(self) -> float:
        """When a client last took tags, on the loop's clock."""
        streams = [port.last_progress_s for port in self._streams.values()]
        return max([self._last_progress_s, *streams])

    async def open(self) -> None:
        """Listens; port 0 becomes the port that the system chose and stays so."""
        await self._box.open()
        await self._service.open()
        await self._attend()

    async def close(self) -> None:
        """Stops listening and drops every client."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for name in list(self._streams):
            await self._end(name)
        await self._service.close()
        await self._box.close()

    def _ask(self, request: str, reply: Callable[[str], None]) -> None:
        reply(self._instrument.execute(request) or "")

    def _serve(self, command: str, reply: Callable[[str], None]) -> None:
        """Answers once the streams are as the command wants them."""

        async def serve() -> None:
            answer = self._instrument.link.execute(command)
            await self._attend()
            reply(answer)

        task = asyncio.create_task(serve())
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _attend(self) -> None:
        """Gives each acquisition its port, and takes those of ended ones away."""
        link = self._instrument.link
        for name in set(self._streams) - set(link.acquisitions):
            await self._end(name)
        for name, acquisition in list(link.acquisitions.items()):
            if name not in self._streams:
                await self._begin(acquisition)

    async def _begin(self, acquisition: Acquisition) -> None:
        seat: set[StreamSession] = set()
        port = self._streams[acquisition.name] = TcpPort(
            lambda: StreamSession(acquisition, seat, self.wire), self.wire, port=acquisition.port
        )
        try:
            await port.open()
        except OSError:
            await self._end(acquisition.name)
            self._instrument.link.withdraw(acquisition.name)

    async def _end(self, name: str) -> None:
        port = self._streams.pop(name)
        await port.discard()
        self._last_progress_s = max(self._last_progress_s, port.last_progress_s)

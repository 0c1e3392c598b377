"""The listening end: survives whoever else connects, and serves the newest peer."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

from qkd_controller.config.errors import ConfigError
from qkd_controller.link import tls
from qkd_controller.link.endpoint import ConnectionState
from qkd_controller.link.errors import LinkError
from qkd_controller.link.serving import (
    Introduced,
    Service,
    over_network,
    root_error,
)
from qkd_controller.link.tls_pipe import TlsPipe
from qkd_controller.link.wire import network_cause

_MAX_PENDING = 32


@dataclass
class Listener:
    """Takes connections, several at once; the newest that proves itself is served."""

    service: Service
    _pending: dict[asyncio.Task[None], str] = field(default_factory=dict)
    """Those that have not proved themselves yet, and where they come from; oldest first."""
    _newest: Introduced | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Listens and serves until something other than the link fails."""
        end = self.service.end
        context = await asyncio.to_thread(tls.server_context, end.tls)
        try:
            async with asyncio.TaskGroup() as group, _listening(self.service) as listener:
                group.create_task(self._serve())
                while True:
                    guest, address = await self._accept(listener)
                    self._evict_oldest()
                    task = group.create_task(self._welcome(guest, address[0], context))
                    self._pending[task] = address[0]
                    task.add_done_callback(lambda done: self._pending.pop(done, None))
                    # Lets the task begin, which from then on owns the socket.
                    await asyncio.sleep(0)
        except BaseExceptionGroup as errors:
            raise root_error(errors) from None
        finally:
            if self._newest is not None:
                self._newest.wire.close()
                await self._newest.wire.closed()

    async def _accept(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        while True:
            try:
                guest, address = await asyncio.get_running_loop().sock_accept(listener)
                # asyncio does so for the sockets that it makes itself; without it, a message waits
                # up to 40 ms for the peer to acknowledge the one before.
                guest.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
                return guest, address
            except OSError as error:
                self._refused("", LinkError(f"cannot accept: {network_cause(error)}"))
                await self.service.pause()

    def _evict_oldest(self) -> None:
        # So that connections left half open cannot keep the peer out.
        if len(self._pending) >= _MAX_PENDING:
            oldest, stranger = next(iter(self._pending.items()))
            del self._pending[oldest]
            oldest.cancel()
            self._refused(stranger, LinkError("it said too little and made room for newer ones"))

    def _refused(self, stranger: str, error: Exception) -> None:
        cause = str(error) or "it did not finish its greeting in time"
        fields = {"from": stranger, "cause": cause, "error": type(error).__name__}
        self.service.on_event("link-refused", fields)

    async def _welcome(self, guest: socket.socket, stranger: str, context: ssl.SSLContext) -> None:
        service = self.service
        timeout_s = service.end.timing.handshake_timeout_s
        try:
            async with asyncio.timeout(2 * timeout_s):
                pipe = await over_network(
                    stranger, timeout_s, TlsPipe.connected(context, server_side=True, sock=guest)
                )
                connection = await service.introduce(pipe)
        except (LinkError, TimeoutError) as error:
            self._refused(stranger, error)
            return
        superseded, self._newest = self._newest, connection
        self._changed.set()
        if superseded is not None:
            superseded.wire.close()
            await superseded.wire.closed()

    async def _serve(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            connection, self._newest = self._newest, None
            if connection is None:
                continue
            try:
                await self._until_superseded(self.service.serve(connection))
            except LinkError as error:
                self.service.lost(error)
            else:
                self.service.lost(LinkError("the session was closed here"))

    async def _until_superseded(self, work: Coroutine[Any, Any, None]) -> None:
        serving = asyncio.create_task(work)
        newer = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((serving, newer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            newer.cancel()
            serving.cancel()
            await asyncio.wait((serving, newer))
            # Seen, even if this task is being cancelled and cannot pass it on.
            serving.cancelled() or serving.exception()
        if serving.cancelled():
            raise LinkError(f"{self.service.end.terms.peer} has connected anew")
        serving.result()


@contextlib.asynccontextmanager
async def _listening(service: Service) -> AsyncIterator[socket.socket]:
    host, port = service.end.host_and_port
    try:
        (family, _, _, _, address), *_ = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        cause = network_cause(error)
        raise ConfigError([f"cannot listen on {service.end.address}: {cause}"]) from None
    with listener:
        listener.setblocking(False)
        bound = listener.getsockname()
        service.on_event("link-listening", {"host": bound[0], "port": bound[1]})
        service.on_state(ConnectionState.WAITING, "")
        yield listener

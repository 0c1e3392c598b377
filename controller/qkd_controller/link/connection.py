"""Connections between the two ends: made, refused, lost, and made again."""

import asyncio
import contextlib
import enum
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qkd_controller.config.errors import ConfigError, QkdError
from qkd_controller.config.node import Tls
from qkd_controller.keys.contract import PairingKeys
from qkd_controller.keys.errors import StoreError
from qkd_controller.link import tls
from qkd_controller.link.codec import Codec
from qkd_controller.link.durable import DurableStore
from qkd_controller.link.errors import LinkError
from qkd_controller.link.framing import MAX_FRAME_BYTES
from qkd_controller.link.handshake import (
    MAX_HANDSHAKE_BYTES,
    Handshake,
    RefusedByPeer,
    is_refusal,
    refusal,
)
from qkd_controller.link.resumption import Resumption
from qkd_controller.link.session import Session, SessionTiming
from qkd_controller.link.terms import Agreement, LinkTerms
from qkd_controller.link.tls_pipe import TlsPipe
from qkd_controller.link.wire import Wire, network_cause

_MAX_PENDING = 32
_LINGER_S = 1.0
_BUFFER_BYTES = 2**20

T = TypeVar("T")

OnSession = Callable[[Session, Resumption], Awaitable[None]]
OnEvent = Callable[[str, dict[str, Any]], None]


class ConnectionState(enum.Enum):
    """How far the connection to the peer has come."""

    WAITING = "waiting"
    """For the peer to connect, or for the next attempt."""
    CONNECTING = "connecting"
    RESUMING = "resuming"
    UP = "up"


OnState = Callable[[ConnectionState, str], None]


@dataclass(frozen=True)
class BackOff:
    """The pauses between attempts: each longer than the last, up to a limit."""

    first_s: float = 0.5
    factor: float = 2.0
    limit_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        """The pause after so many attempts in a row have failed, at least 1."""
        return min(self.first_s * self.factor ** min(failures - 1, 64), self.limit_s)


@dataclass(frozen=True)
class LinkEndpoint:
    """All that one end needs to keep a connection."""

    terms: LinkTerms
    address: str
    """``host:port`` where the listener listens."""
    tls: Tls
    store: DurableStore
    codec: Codec
    timing: SessionTiming = SessionTiming()
    back_off: BackOff = BackOff()


async def maintain(
    end: LinkEndpoint, on_session: OnSession, on_state: OnState, on_event: OnEvent
) -> None:
    """Keeps a session with the peer for ever, making a new one whenever it is lost.

    on_session runs beside each session and is cancelled when the session ends; if it returns,
    the session is closed. A LinkError from either leads to a new attempt; anything else, above
    all a StoreError such as PadExhausted, ends the link and is raised here.
    """
    host, _ = _split(end.address)
    await asyncio.to_thread(tls.check_own, end.tls, end.terms.own, host)
    keys = await end.store.read(lambda s: s.pairing_keys())
    service = _Service(end, keys, on_session, on_state, on_event)
    if end.terms.own == end.terms.roles.listener:
        await _Listener(service).run()
    else:
        await _keep_connecting(service)


async def greet(wire: Wire, terms: LinkTerms, check_key: bytes, timeout_s: float) -> Agreement:
    """The handshake over a fresh connection; tells the peer why if it fails here."""
    handshake = Handshake(terms, check_key)
    try:
        wire.write(handshake.hello())
        while handshake.agreement is None:
            answer = handshake.receive(await wire.receive(timeout_s))
            if answer is not None:
                wire.write(answer)
    except RefusedByPeer:
        raise
    except LinkError as error:
        await _refuse(wire, str(error))
        raise
    return handshake.agreement


@dataclass
class _Connection:
    wire: Wire
    agreement: Agreement


@dataclass
class _Service:
    """What serves one established connection after another."""

    end: LinkEndpoint
    keys: PairingKeys
    on_session: OnSession
    on_state: OnState
    on_event: OnEvent
    failures: int = 0

    async def introduce(self, pipe: TlsPipe) -> _Connection:
        """Certificate and handshake; the pipe is closed if they fail."""
        end = self.end
        wire = Wire(pipe, end.terms.peer, MAX_HANDSHAKE_BYTES)
        async with _closing_on_error(wire):
            try:
                tls.check_peer(pipe.certificate(), end.terms.peer)
            except LinkError as error:
                await _refuse(wire, str(error))
                raise
            timeout_s = end.timing.handshake_timeout_s
            agreement = await greet(wire, end.terms, self.keys.check_key, timeout_s)
            wire.set_limit(MAX_FRAME_BYTES)
            return _Connection(wire, agreement)

    async def serve(self, connection: _Connection) -> None:
        """One session from its resumption to its end, which is always an exception or a return."""
        end, terms = self.end, self.end.terms
        try:
            self.on_state(ConnectionState.RESUMING, "")
            lease = await end.store.lease()
            session = Session(
                connection.wire, connection.agreement, lease, self.keys, end.codec, end.timing
            )
            resumption = await session.resume()
            self.failures = 0
            self.on_event(
                "link-up",
                {
                    "peer": terms.peer,
                    "rolled_forward": list(resumption.rolled_forward),
                    "discarded": list(resumption.discarded),
                },
            )
            self.on_state(ConnectionState.UP, "")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.run())
                    await self.on_session(session, resumption)
                    session.close()
            except BaseExceptionGroup as errors:
                raise _root(errors) from None
        finally:
            connection.wire.close()
            await connection.wire.closed()

    def lost(self, error: LinkError) -> None:
        """Reports one lost session or failed attempt."""
        self.failures += 1
        self.on_event("link-down", {"peer": self.end.terms.peer, "cause": str(error)})
        self.on_state(ConnectionState.WAITING, str(error))

    async def pause(self) -> None:
        await asyncio.sleep(self.end.back_off.pause_s(max(1, self.failures)))


async def _keep_connecting(service: _Service) -> None:
    end = service.end
    context = await asyncio.to_thread(tls.client_context, end.tls)
    host, port = _split(end.address)
    timeout_s = end.timing.handshake_timeout_s
    while True:
        service.on_state(ConnectionState.CONNECTING, "")
        try:
            pipe = await _network(end.terms.peer, timeout_s, _connect(host, port, context))
            await service.serve(await service.introduce(pipe))
        except LinkError as error:
            service.lost(error)
        else:
            service.lost(LinkError("the session was closed here"))
        await service.pause()


@dataclass
class _Listener:
    """Takes connections, several at once; the newest that proves itself is served."""

    service: _Service
    _pending: dict[asyncio.Task[None], None] = field(default_factory=dict)
    _newest: _Connection | None = None
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
                    self._pending[task] = None
                    task.add_done_callback(lambda done: self._pending.pop(done, None))
                    # Lets the task begin, which from then on owns the socket.
                    await asyncio.sleep(0)
        except BaseExceptionGroup as errors:
            raise _root(errors) from None
        finally:
            if self._newest is not None:
                self._newest.wire.close()
                await self._newest.wire.closed()

    async def _accept(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        while True:
            try:
                return await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:
                self.service.on_event("link-refused", {"cause": network_cause(error)})
                await self.service.pause()

    def _evict_oldest(self) -> None:
        # So that connections left half open cannot keep the peer out.
        if len(self._pending) >= _MAX_PENDING:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.cancel()

    async def _welcome(self, guest: socket.socket, stranger: str, context: ssl.SSLContext) -> None:
        service = self.service
        timeout_s = service.end.timing.handshake_timeout_s
        try:
            async with asyncio.timeout(2 * timeout_s):
                pipe = await _network(stranger, timeout_s, _admit(guest, context))
                connection = await service.introduce(pipe)
        except (LinkError, TimeoutError) as error:
            cause = str(error) or "it did not finish its greeting in time"
            service.on_event("link-refused", {"from": stranger, "cause": cause})
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
        if serving.cancelled():
            raise LinkError(f"{self.service.end.terms.peer} has connected anew")
        serving.result()


async def _connect(host: str, port: int, context: ssl.SSLContext) -> TlsPipe:
    streams = await asyncio.open_connection(host, port, limit=_BUFFER_BYTES)
    return await _secured(TlsPipe(*streams, context, server_side=False))


async def _admit(guest: socket.socket, context: ssl.SSLContext) -> TlsPipe:
    streams = await asyncio.open_connection(sock=guest, limit=_BUFFER_BYTES)
    return await _secured(TlsPipe(*streams, context, server_side=True))


async def _secured(pipe: TlsPipe) -> TlsPipe:
    try:
        await pipe.handshake()
    except BaseException:
        pipe.close()
        await pipe.closed()
        raise
    return pipe


@contextlib.asynccontextmanager
async def _listening(service: _Service) -> AsyncIterator[socket.socket]:
    host, port = _split(service.end.address)
    try:
        (family, _, _, _, address), *_ = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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


@contextlib.asynccontextmanager
async def _closing_on_error(wire: Wire) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        wire.close()
        await wire.closed()
        raise


async def _network(peer: str, timeout_s: float, opening: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await opening
    except TimeoutError:
        raise LinkError(f"{peer} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise LinkError(f"no connection with {peer}: {network_cause(error)}") from None


async def _refuse(wire: Wire, reason: str) -> None:
    """Says why, and stays until the peer has read it: closing at once could take it back."""
    with contextlib.suppress(LinkError, TimeoutError):
        wire.write(refusal(reason))
        async with asyncio.timeout(_LINGER_S):
            while not is_refusal(await wire.receive(_LINGER_S)):
                pass


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    try:
        return host.strip("[]"), int(port)
    except ValueError:
        raise ConfigError([f"{address}: is no host:port"]) from None


def _root(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that matters: a fault of the program, else of the store, else the first."""
    leaves = list(_leaves(errors))
    if any(not isinstance(leaf, QkdError) for leaf in leaves):
        return errors
    return next((leaf for leaf in leaves if isinstance(leaf, StoreError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

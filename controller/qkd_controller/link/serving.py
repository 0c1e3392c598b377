"""One connection served from its first byte to its last, whichever end opened it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from qkd_controller.config.errors import QkdError
from qkd_controller.keys.contract import PairingKeys
from qkd_controller.keys.errors import StoreError
from qkd_controller.link import tls
from qkd_controller.link.endpoint import (
    ConnectionState,
    LinkEndpoint,
    OnEvent,
    OnSession,
    OnState,
)
from qkd_controller.link.errors import LinkError
from qkd_controller.link.framing import MAX_FRAME_BYTES
from qkd_controller.link.handshake import (
    MAX_HANDSHAKE_BYTES,
    Handshake,
    RefusedByPeer,
    is_refusal,
    refusal,
)
from qkd_controller.link.session import Session
from qkd_controller.link.terms import Agreement, LinkTerms
from qkd_controller.link.tls_pipe import TlsPipe
from qkd_controller.link.wire import Wire, network_cause

_LINGER_S = 1.0

T = TypeVar("T")


async def greet(wire: Wire, terms: LinkTerms, check_key: bytes, timeout_s: float) -> Agreement:
    """The handshake over a fresh connection; tells the peer why if it fails here."""
    handshake = Handshake(terms, check_key)
    try:
        wire.write(handshake.hello())
        greeted_s = time.perf_counter()
        while handshake.agreement is None:
            answer = handshake.receive(await wire.receive(timeout_s))
            if answer is not None:
                wire.write(answer)
    except RefusedByPeer:
        raise
    except LinkError as error:
        await _refuse(wire, str(error))
        raise
    # Whichever end is first: the proof that ends a greeting answers the hello that began it.
    return replace(handshake.agreement, round_trip_s=time.perf_counter() - greeted_s)


@dataclass
class Introduced:
    """A connection whose other end has proved to be the peer."""

    wire: Wire
    agreement: Agreement


@dataclass
class Service:
    """What serves one established connection after another."""

    end: LinkEndpoint
    keys: PairingKeys
    on_session: OnSession
    on_state: OnState
    on_event: OnEvent
    failures: int = 0

    async def introduce(self, pipe: TlsPipe) -> Introduced:
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
            return Introduced(wire, agreement)

    async def serve(self, connection: Introduced) -> None:
        """One session from its resumption to its end, which is always an exception or a return."""
        end = self.end
        try:
            self.on_state(ConnectionState.RESUMING, "")
            lease = await end.store.lease()
            session = Session(
                connection.wire, connection.agreement, lease, self.keys, end.codec, end.timing
            )
            with contextlib.closing(session):
                await self._use(session)
        finally:
            connection.wire.close()
            await connection.wire.closed()

    async def _use(self, session: Session) -> None:
        resumption = await session.resume()
        self.failures = 0
        self.on_event(
            "link-up",
            {
                "peer": self.end.terms.peer,
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
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # A group that also has errors forgets that it was cancelled.
                raise asyncio.CancelledError from None
            raise root_error(errors) from None

    def lost(self, error: LinkError) -> None:
        """Reports one lost session or failed attempt."""
        self.failures += 1
        self.on_event(
            "link-down",
            {"peer": self.end.terms.peer, "cause": str(error), "error": type(error).__name__},
        )
        self.on_state(ConnectionState.WAITING, str(error))

    async def pause(self) -> None:
        """Waits until it is time for the next attempt."""
        await asyncio.sleep(self.end.back_off.pause_s(max(1, self.failures)))


async def over_network(peer: str, timeout_s: float, opening: Coroutine[Any, Any, T]) -> T:
    """The result of opening a connection, or a LinkError that says why there is none."""
    try:
        async with asyncio.timeout(timeout_s):
            return await opening
    except TimeoutError:
        raise LinkError(f"{peer} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise LinkError(f"no connection with {peer}: {network_cause(error)}") from None


@contextlib.asynccontextmanager
async def _closing_on_error(wire: Wire) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        wire.close()
        await wire.closed()
        raise


async def _refuse(wire: Wire, reason: str) -> None:
    """Says why, and stays until the peer has read it: closing at once could take it back."""
    with contextlib.suppress(LinkError, TimeoutError):
        wire.write(refusal(reason))
        async with asyncio.timeout(_LINGER_S):
            while not is_refusal(await wire.receive(_LINGER_S)):
                pass


def root_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
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

"""TLS of the delivery endpoint: each connection is secured or refused, and a refusal is told.

asyncio's own TLS server drops a connection whose handshake fails without a word.
"""

import asyncio
import ssl
from collections.abc import Callable

HANDSHAKE_TIMEOUT_S = 10.0
MOST_PENDING = 64
"""Connections that have not proved themselves; more are refused at once."""


class Doorkeeper:
    """Makes the protocol of each connection that a TCP server accepts.

    A connection is handed to a protocol of its own, from ``inside``, once its handshake is done;
    ``on_refused(address, cause)`` tells of all others.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        inside: Callable[[], asyncio.Protocol],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self._context = context
        self._inside = inside
        self._on_refused = on_refused
        self._pending: set[asyncio.Task[None]] = set()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one connection."""
        return _Doorstep(self._knock)

    async def close(self) -> None:
        """Gives up the handshakes under way."""
        pending = list(self._pending)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _knock(self, transport: asyncio.Transport) -> None:
        if len(self._pending) >= MOST_PENDING:
            self._on_refused(_address(transport), "too many connections are in their handshake")
            transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._admit(transport))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _admit(self, transport: asyncio.Transport) -> None:
        address = _address(transport)
        waiting = _Waiting()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                waiting,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        except (OSError, TimeoutError) as error:
            self._on_refused(address, _cause(error))
            transport.abort()
            return
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            self._on_refused(address, _HUNG_UP)
            return
        waiting.hand_over(secured, self._inside())


_HUNG_UP = "the connection was closed in the TLS handshake"


class _Doorstep(asyncio.Protocol):
    """Of a connection before TLS."""

    def __init__(self, knock: Callable[[asyncio.Transport], None]) -> None:
        self._knock = knock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._knock(transport)


class _Waiting(asyncio.Protocol):
    """Keeps what comes on the heels of a handshake, until the protocol inside is there."""

    def __init__(self) -> None:
        self._come: list[bytes] = []
        self._lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self._come.append(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.append(error)

    def hand_over(self, transport: asyncio.Transport, inside: asyncio.Protocol) -> None:
        """Gives the connection to the protocol inside."""
        transport.set_protocol(inside)
        inside.connection_made(transport)
        for data in self._come:
            inside.data_received(data)
        for error in self._lost:
            inside.connection_lost(error)


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"the TLS handshake failed: {error.reason.replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError) or "took longer" in str(error):
        return f"no TLS handshake within {HANDSHAKE_TIMEOUT_S:g} s"
    return _HUNG_UP

"""TLS over a TCP connection, with the alerts that tell the peer why a handshake failed.

asyncio's own TLS drops the alert of a failed handshake, so that the other end would only see the
connection close; here the TLS machine of the standard library runs over memory buffers instead.
"""

import asyncio
import contextlib
import math
import ssl
from typing import Any, cast

_CHUNK_BYTES = 256 * 1024
_HELD_BYTES = 2**20
"""Of what has come in: beyond it the socket is not read."""
_IDLE_BYTES = 64 * 1024
_CLOSE_TIMEOUT_S = 2.0
_LINGER_S = 1.0


class TlsPipe(asyncio.BufferedProtocol):
    """A BytePipe over a connection that asyncio reads into it; see connected()."""

    def __init__(self, context: ssl.SSLContext, server_side: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = memoryview(bytearray(_CHUNK_BYTES))
        self._plain = memoryview(bytearray(_CHUNK_BYTES))
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._reading: asyncio.Future[None] | None = None
        """Of whoever waits for more to come in."""
        self._until_s = math.inf
        """When it has waited long enough."""
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = self._loop.create_future()
        """Done once the connection is."""
        self._error: Exception | None = None
        """Why the connection was lost, if it was not closed in good order."""
        self._closing = False
        self._ended = False
        """Whether nothing comes in any more."""

    @classmethod
    async def connected(cls, context: ssl.SSLContext, server_side: bool, **place: Any) -> "TlsPipe":
        """After its handshake, over a connection that is closed if that fails.

        The place is that of loop.create_connection(): host and port, or a connected sock. Raises
        ssl.SSLError, once the peer has been told, or OSError if the peer is gone.
        """
        _, pipe = await asyncio.get_running_loop().create_connection(
            lambda: cls(context, server_side), **place
        )
        try:
            await pipe._handshake()
        except BaseException:
            pipe.close()
            await pipe.closed()
            raise
        return pipe

    def certificate(self) -> bytes | None:
        """The peer's certificate, DER."""
        return self._tls.getpeercert(binary_form=True)

    async def read(self, timeout_s: float) -> bytes:
        """All bytes that are here, once there are some; none at the end of the stream.

        Raises TimeoutError if none come in time.
        """
        while not (here := self._records()):
            self._flush()
            if not await self._more(timeout_s):
                return b""
        return here

    def write(self, *parts: bytes) -> None:
        """Queues the bytes; they are lost if the pipe is closed.

        What is written in one turn of the event loop leaves as one.
        """
        if self._closing:
            return
        if not self._waiting:
            self._loop.call_soon(self._send_waiting)
        for part in parts:
            self._waiting.append(part)
            self._waiting_bytes += len(part)

    def idle(self) -> bool:
        """Whether so little waits for the network that drain() need not wait."""
        return (
            not self._closing
            and self._waiting_bytes < _IDLE_BYTES
            and self._transport.get_write_buffer_size() < _IDLE_BYTES
        )

    async def drain(self) -> None:
        """Waits until the peer has read enough for more to be written."""
        self._send_waiting()
        await self._writable.wait()
        if self._gone.done():
            raise self._error or ConnectionResetError("the connection was closed")

    def close(self) -> None:
        """Says goodbye and begins to close."""
        if not self._closing:
            self._send_waiting()
            self._closing = True
            # Wants to read the peer's goodbye, for which nobody waits; fails within a handshake.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
            self._transport.close()

    async def closed(self) -> None:
        """Waits until it is closed, by force if the peer does not read."""
        await asyncio.wait([self._gone], timeout=_CLOSE_TIMEOUT_S)
        if not self._gone.done():
            self._transport.abort()

    # What asyncio tells of the connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, length: int) -> None:
        self._incoming.write(self._buffer[:length])
        if self._incoming.pending > _HELD_BYTES:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._error = error
        self._ended = True
        self._gone.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._more():
                    raise ConnectionResetError("closed during the TLS handshake") from None
            except ssl.SSLError:
                self._flush()
                await self._linger()
                raise
            else:
                self._flush()
                return

    def _records(self) -> bytes:
        """The records that have come in whole; TLS hands them out one at a time."""
        parts, plain, filled = [], self._plain, 0
        try:
            while self._incoming.pending or self._tls.pending():
                if filled == _CHUNK_BYTES:
                    parts.append(bytes(plain))
                    filled = 0
                # Into a buffer: so much new memory a record would cost as much as decrypting it.
                length = cast("int", self._tls.read(_CHUNK_BYTES - filled, plain[filled:]))
                if not length:
                    # The peer has said goodbye; what comes after it is nobody's.
                    self._ended = True
                    self._incoming.read()
                filled += length
        except ssl.SSLWantReadError:
            pass
        parts.append(bytes(plain[:filled]))
        return b"".join(parts)

    async def _more(self, timeout_s: float = math.inf) -> bool:
        """Waits until more has come in; False at the end. Raises OSError if it broke off."""
        if self._error is not None:
            raise self._error
        if self._ended:
            return False
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._reading = self._loop.create_future()
        self._until_s = self._loop.time() + timeout_s
        if self._timer is None:
            self._look()
        try:
            await self._reading
        finally:
            self._reading = None
        return self._incoming.pending > 0 or await self._more(timeout_s)

    def _look(self) -> None:
        """Ends a wait that has become too long; one timer serves many short ones."""
        self._timer = None
        if self._reading is None or self._reading.done() or self._until_s == math.inf:
            return
        if self._until_s <= self._loop.time():
            self._reading.set_exception(TimeoutError())
        else:
            self._timer = self._loop.call_at(self._until_s, self._look)

    def _wake(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    def _send_waiting(self) -> None:
        if not self._waiting or self._closing:
            return
        parts = self._waiting
        if self._waiting_bytes < _IDLE_BYTES:
            parts = [b"".join(parts)]
        self._waiting, self._waiting_bytes = [], 0
        try:
            for part in parts:
                # Pieces, so that what is encrypted leaves before memory grows.
                for start in range(0, len(part), _CHUNK_BYTES):
                    self._tls.write(memoryview(part)[start : start + _CHUNK_BYTES])
                    if self._outgoing.pending >= _CHUNK_BYTES:
                        self._flush()
        except ssl.SSLError:
            # The reader learns that the connection is gone.
            self._transport.abort()
            return
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    async def _linger(self) -> None:
        # Closing over unread bytes would reset the connection and take the alert back.
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self._more():
                    self._incoming.read()

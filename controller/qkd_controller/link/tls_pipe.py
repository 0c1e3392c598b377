"""TLS over a TCP connection, with the alerts that tell the peer why a handshake failed.

asyncio's own TLS drops the alert of a failed handshake, so that the other end would only see the
connection close; here the TLS machine of the standard library runs over memory buffers instead.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator

_CHUNK_BYTES = 256 * 1024
_IDLE_BYTES = 64 * 1024
_CLOSE_TIMEOUT_S = 2.0
_LINGER_S = 1.0


class TlsPipe:
    """A BytePipe; call handshake() before anything else."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        server_side: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._closing = False
        self._ended = False

    async def handshake(self) -> None:
        """Raises ssl.SSLError, once the peer has been told, or OSError if the peer is gone."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._fill():
                    raise ConnectionResetError("closed during the TLS handshake") from None
            except ssl.SSLError:
                self._flush()
                await self._linger()
                raise
            else:
                self._flush()
                return

    def certificate(self) -> bytes | None:
        """The peer's certificate, DER."""
        return self._tls.getpeercert(binary_form=True)

    async def read(self) -> bytes:
        """All bytes that are here, once there are some; none at the end of the stream."""
        while not (here := b"".join(self._records())):
            if self._ended:
                return b""
            self._flush()
            if not await self._fill():
                return b""
        return here

    def write(self, data: bytes) -> None:
        """Queues the bytes; they are lost if the pipe is closed.

        What is written in one turn of the event loop leaves as one.
        """
        if self._closing:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send_waiting)
        self._waiting.append(data)
        self._waiting_bytes += len(data)

    def idle(self) -> bool:
        """Whether so little waits for the network that drain() need not wait."""
        queued = self._waiting_bytes + self._writer.transport.get_write_buffer_size()
        return not self._closing and queued < _IDLE_BYTES

    async def drain(self) -> None:
        """Waits until the peer has read enough for more to be written."""
        self._send_waiting()
        await self._writer.drain()

    def close(self) -> None:
        """Says goodbye and begins to close."""
        if not self._closing:
            self._send_waiting()
            self._closing = True
            # Wants to read the peer's goodbye, for which nobody waits; fails within a handshake.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
            self._writer.close()

    async def closed(self) -> None:
        """Waits until it is closed, by force if the peer does not read."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()

    def _records(self) -> Iterator[bytes]:
        """The records that have come in whole; TLS hands them out one at a time."""
        try:
            while record := self._tls.read(_CHUNK_BYTES):
                yield record
                if not self._incoming.pending and not self._tls.pending():
                    return
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        self._ended = True

    def _send_waiting(self) -> None:
        if not self._waiting or self._closing:
            return
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
        try:
            while data:
                data = data[self._tls.write(data) :]
        except ssl.SSLError:
            # The reader learns that the connection is gone.
            self._writer.transport.abort()
            return
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())

    async def _fill(self) -> bool:
        chunk = await self._reader.read(_CHUNK_BYTES)
        self._incoming.write(chunk)
        return bool(chunk)

    async def _linger(self) -> None:
        # Closing over unread bytes would reset the connection and take the alert back.
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_CHUNK_BYTES):
                    pass

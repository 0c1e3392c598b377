"""Frames over any pipe of bytes: the only part of a session that waits for the network."""

import asyncio
import ssl
from typing import Protocol

from qkd_controller.link.errors import LinkError
from qkd_controller.link.framing import MAX_FRAME_BYTES, FrameDecoder, Payload, frame


class BytePipe(Protocol):
    """Both directions of one connection."""

    async def read(self, place: memoryview, timeout_s: float) -> int:
        """Writes some bytes there; their number, 0 at the end of the stream.

        TimeoutError if none come in time.
        """

    def write(self, *parts: bytes) -> None:
        """Queues the bytes, one part after the other."""

    def idle(self) -> bool:
        """Whether all that was written has left, so that drain() need not wait."""

    async def drain(self) -> None:
        """Waits until the peer has read enough for more to be written."""

    def close(self) -> None:
        """Begins to close; nothing is sent or received any more."""

    async def closed(self) -> None:
        """Waits until it is closed."""


class Wire:
    """Sends and receives whole frames; every failure of the network is a LinkError."""

    def __init__(self, pipe: BytePipe, peer: str, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._pipe = pipe
        self._peer = peer
        self._decoder = FrameDecoder(max_frame_bytes)

    def set_limit(self, max_frame_bytes: int) -> None:
        """Bounds the frames that may come in from now on."""
        self._decoder.max_bytes = max_frame_bytes

    async def receive(self, timeout_s: float) -> Payload:
        """The next payload; raises LinkError if the peer is silent for so long, or gone."""
        while (payload := self._decoder.next_frame()) is None:
            try:
                count = await self._pipe.read(self._decoder.place(), timeout_s)
            except TimeoutError:
                raise LinkError(f"{self._peer} was silent for {timeout_s:g} s") from None
            except OSError as error:
                raise self._broken(error) from None
            if not count:
                raise LinkError(f"{self._peer} closed the connection")
            self._decoder.took(count)
        return payload

    def write(self, payload: bytes) -> None:
        """Queues one frame; it goes out whole or the connection ends."""
        parts = frame(payload)
        try:
            self._pipe.write(*parts)
        except OSError as error:
            raise self._broken(error) from None

    def idle(self) -> bool:
        """Whether the queue is so short that drain() need not wait."""
        return self._pipe.idle()

    async def drain(self, timeout_s: float) -> None:
        """Waits until the queue is short again; raises LinkError if the peer does not read."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pipe.drain()
        except TimeoutError:
            raise LinkError(f"{self._peer} did not read for {timeout_s:g} s") from None
        except OSError as error:
            raise self._broken(error) from None

    def close(self) -> None:
        """Closes the connection; may be called again."""
        self._pipe.close()

    async def closed(self) -> None:
        """Waits until the connection is closed."""
        await self._pipe.closed()

    def _broken(self, error: OSError) -> LinkError:
        return LinkError(f"the connection to {self._peer} broke: {network_cause(error)}")


def network_cause(error: OSError) -> str:
    """What went wrong with a connection, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        alert = error.reason.replace("_", " ").lower()
        if "alert" in alert and ("unknown ca" in alert or "certificate" in alert):
            return f"the peer does not trust this end's certificate (TLS says {alert})"
        return f"TLS says {alert}"
    return error.strerror or str(error) or type(error).__name__

"""Frames on the byte stream: a 4-byte big-endian length, then so many bytes of payload."""

from qkd_controller.link.errors import ProtocolError

_PREFIX_BYTES = 4
MAX_FRAME_BYTES = 64 * 2**20


def frame(payload: bytes, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """The payload as it goes on the wire; raises ProtocolError if it is empty or too long."""
    check_length(len(payload), max_bytes)
    return len(payload).to_bytes(_PREFIX_BYTES, "big") + payload


class FrameDecoder:
    """Cuts a byte stream, fed in chunks of any size, into payloads."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the stream."""
        self._buffer += chunk

    def next_frame(self) -> bytes | None:
        """The next whole payload, or None; raises ProtocolError for a forbidden length."""
        if len(self._buffer) < _PREFIX_BYTES:
            return None
        length = int.from_bytes(self._buffer[:_PREFIX_BYTES], "big")
        check_length(length, self.max_bytes)
        end = _PREFIX_BYTES + length
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[_PREFIX_BYTES:end])
        del self._buffer[:end]
        return payload


def check_length(length: int, max_bytes: int = MAX_FRAME_BYTES) -> None:
    """Raises ProtocolError unless a payload may have so many bytes."""
    if not 0 < length <= max_bytes:
        raise ProtocolError(f"a frame of {length} bytes; from 1 to {max_bytes} are allowed")

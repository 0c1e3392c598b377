"""Frames on the byte stream: a 4-byte big-endian length, then so many bytes of payload."""

from qkd_controller.link.errors import ProtocolError

_PREFIX_BYTES = 4
MAX_FRAME_BYTES = 64 * 2**20


def frame(payload: bytes, max_bytes: int = MAX_FRAME_BYTES) -> tuple[bytes, bytes]:
    """What goes on the wire for a payload, in two parts so that long ones are not copied.

    Raises ProtocolError if it is empty or too long.
    """
    check_length(len(payload), max_bytes)
    return len(payload).to_bytes(_PREFIX_BYTES, "big"), payload


class FrameDecoder:
    """Cuts a byte stream, fed in chunks of any size, into payloads."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        self._held: bytes | bytearray = b""
        self._cut = 0
        """So many bytes of it are cut into payloads already."""

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the stream."""
        if self._cut == len(self._held):
            self._held = chunk
        elif isinstance(self._held, bytearray):
            del self._held[: self._cut]
            self._held += chunk
        else:
            self._held = bytearray(memoryview(self._held)[self._cut :])
            self._held += chunk
        self._cut = 0

    def next_frame(self) -> bytes | None:
        """The next whole payload, or None; raises ProtocolError for a forbidden length."""
        held, start = self._held, self._cut + _PREFIX_BYTES
        if len(held) < start:
            return None
        length = int.from_bytes(held[start - _PREFIX_BYTES : start], "big")
        check_length(length, self.max_bytes)
        end = start + length
        if len(held) < end:
            return None
        self._cut = end
        return bytes(memoryview(held)[start:end])


def check_length(length: int, max_bytes: int = MAX_FRAME_BYTES) -> None:
    """Raises ProtocolError unless a payload may have so many bytes."""
    if not 0 < length <= max_bytes:
        raise ProtocolError(f"a frame of {length} bytes; from 1 to {max_bytes} are allowed")

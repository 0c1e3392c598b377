"""Frames on the byte stream: a 4-byte big-endian length, then so many bytes of payload."""

from qkd_controller.link.errors import ProtocolError

_PREFIX_BYTES = 4
MAX_FRAME_BYTES = 64 * 2**20
_ROOM_BYTES = 128 * 1024
_LONG_BYTES = 32 * 1024
"""A payload of more, unless it has come whole, is not cut from the room but written apart."""

Payload = bytes | bytearray


def frame(payload: bytes, max_bytes: int = MAX_FRAME_BYTES) -> tuple[bytes, bytes]:
    """What goes on the wire for a payload, in two parts so that long ones are not copied.

    Raises ProtocolError if it is empty or too long.
    """
    check_length(len(payload), max_bytes)
    return len(payload).to_bytes(_PREFIX_BYTES, "big"), payload


class FrameDecoder:
    """Cuts a byte stream into payloads.

    The stream is written into place() and counted by took(): a long payload comes to lie where it
    is handed out.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        self._room = bytearray(_ROOM_BYTES)
        self._cut = self._filled = 0
        """What lies in the room between these is not cut yet."""
        self._long = bytearray()
        """The payload that is too long for the room, if one has begun."""
        self._long_filled = 0

    def place(self) -> memoryview:
        """Where the next bytes of the stream belong; not empty once next_frame() gave None."""
        if self._long:
            return memoryview(self._long)[self._long_filled :]
        return memoryview(self._room)[self._filled :]

    def took(self, count: int) -> None:
        """So many bytes have been written there."""
        if self._long:
            self._long_filled += count
        else:
            self._filled += count

    def next_frame(self) -> Payload | None:
        """The next whole payload, or None; raises ProtocolError for a forbidden length."""
        if self._long:
            if self._long_filled < len(self._long):
                return None
            whole, self._long = self._long, bytearray()
            return whole
        start = self._cut + _PREFIX_BYTES
        if self._filled < start:
            self._make_room()
            return None
        length = int.from_bytes(self._room[self._cut : start], "big")
        check_length(length, self.max_bytes)
        end = start + length
        if self._filled < end:
            if length > _LONG_BYTES:
                self._begin_long(start, length)
            else:
                self._make_room()
            return None
        self._cut = end
        return bytes(memoryview(self._room)[start:end])

    def _make_room(self) -> None:
        """What is not cut moves to the front, so that there is room behind it."""
        rest = self._filled - self._cut
        self._room[:rest] = self._room[self._cut : self._filled]
        self._cut, self._filled = 0, rest

    def _begin_long(self, start: int, length: int) -> None:
        self._long = bytearray(length)
        self._long_filled = self._filled - start
        self._long[: self._long_filled] = memoryview(self._room)[start : self._filled]
        self._cut = self._filled = 0


def check_length(length: int, max_bytes: int = MAX_FRAME_BYTES) -> None:
    """Raises ProtocolError unless a payload may have so many bytes."""
    if not 0 < length <= max_bytes:
        raise ProtocolError(f"a frame of {length} bytes; from 1 to {max_bytes} are allowed")

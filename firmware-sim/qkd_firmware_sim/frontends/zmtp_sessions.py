"""ZMTP 3.0 (https://rfc.zeromq.org/spec/23) in bytes: one connection of a REP or a PAIR socket.

As much of it as the programs need that talk to an instrument: no security and no identities.
"""

from collections import deque
from collections.abc import Callable

from qkd_firmware_sim.cores.id900_link import Acquisition
from qkd_firmware_sim.frontends.wire import Wire

_MECHANISM = b"NULL".ljust(20, b"\0")
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + _MECHANISM + bytes(32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_LONGEST_BYTES = 1 << 20


class ZmtpSession:
    """Greets, says what kind of socket it is, and hangs up on whom it does not understand."""

    def __init__(self, kind: bytes, peers: tuple[bytes, ...]) -> None:
        self.on_output: Callable[[], None] = lambda: None
        self.on_hang_up: Callable[[], None] = lambda: None
        self._kind = kind
        self._peers = peers
        self._input = bytearray()
        self._leaving: deque[memoryview] = deque()
        self._said_hello = False
        self._greeted = False
        self._ready = False
        self._parts: list[bytes] = []

    def receive(self, data: bytes) -> None:
        self._input += data
        if not self._greeted and not self._greet():
            return
        while (frame := self._next_frame()) is not None:
            flags, body = frame
            if flags & _COMMAND:
                self._command(body)
            elif not self._ready:
                self.on_hang_up()
            else:
                self._parts.append(body)
                if not flags & _MORE:
                    parts, self._parts = self._parts, []
                    self._heard(parts)

    def take(self, limit: int) -> bytes:
        pieces = []
        while self._leaving and limit > 0:
            piece = self._leaving[0][:limit]
            self._leaving[0] = self._leaving[0][len(piece) :]
            if not len(self._leaving[0]):
                self._leaving.popleft()
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)

    def interject(self, text: bytes) -> None:
        """Says nothing of its own accord, unless it is of a kind that may."""

    def ended(self) -> None:
        """Nothing is left to be done."""

    def _heard(self, parts: list[bytes]) -> None:
        """Takes a message."""

    def _got_ready(self) -> None:
        """The peer may be talked to."""

    def _say(self, parts: list[bytes], announced: int) -> None:
        """Sends a message, whose last part may be announced as longer than it is."""
        *before, last = parts
        for part in before:
            self._frame(part, len(part), _MORE)
        self._frame(last, announced, 0)
        self.on_output()

    def _frame(self, body: bytes, announced: int, flags: int) -> None:
        if announced > 255:
            head = bytes([flags | _LONG]) + announced.to_bytes(8, "big")
        else:
            head = bytes([flags, announced])
        self._leaving += [memoryview(head), memoryview(body)] if body else [memoryview(head)]

    def _greet(self) -> bool:
        if self._input[0] != _GREETING[0]:
            self.on_hang_up()
            return False
        if not self._said_hello:
            self._said_hello = True
            self._leaving.append(memoryview(_GREETING))
            ready = b"\x05READY\x0bSocket-Type" + len(self._kind).to_bytes(4, "big") + self._kind
            self._frame(ready, len(ready), _COMMAND)
            self.on_output()
        if len(self._input) < len(_GREETING):
            return False
        if self._input[10] < 3 or self._input[12:32] != _MECHANISM:
            self.on_hang_up()
            return False
        del self._input[: len(_GREETING)]
        self._greeted = True
        return True

    def _next_frame(self) -> tuple[int, bytes] | None:
        if len(self._input) < 2:
            return None
        flags = self._input[0]
        head = 9 if flags & _LONG else 2
        size = int.from_bytes(self._input[1:head], "big")
        if size > _LONGEST_BYTES:
            self.on_hang_up()
        if len(self._input) < head + size:
            return None
        body = bytes(self._input[head : head + size])
        del self._input[: head + size]
        return flags, body

    def _command(self, body: bytes) -> None:
        size = 1 + body[0] if body else 0
        name, rest = body[1:size], body[size:]
        if name == b"PING":
            pong = b"\x04PONG" + rest[2:]  # after the time to live
            self._frame(pong, len(pong), _COMMAND)
            self.on_output()
        elif name == b"READY":
            if _properties(rest).get(b"socket-type") not in self._peers:
                self.on_hang_up()
                return
            self._ready = True
            self._got_ready()


class RepSession(ZmtpSession):
    """Answers each request once: a client that was not answered has to connect anew.

    `answer` is given a request and what takes the answer to it, now or later.
    """

    def __init__(self, answer: Callable[[str, Callable[[str], None]], None], wire: Wire) -> None:
        super().__init__(b"REP", (b"REQ", b"DEALER"))
        self._answer = answer
        self._wire = wire

    def _heard(self, parts: list[bytes]) -> None:
        at = parts.index(b"") + 1 if b"" in parts else 0
        envelope, request = parts[:at], b"".join(parts[at:])

        def take(answer: str) -> None:
            text = self._wire.met_by(b"") + answer.encode()
            torn = self._wire.hangs_up_next
            for message in self._wire.deliver(text):
                self._say([*envelope, message], len(text) if torn else len(message))

        self._answer(request.decode("utf-8", "replace").strip(), take)


class StreamSession(ZmtpSession):
    """Sends the frames of an acquisition, as fast as they are taken, to one client at a time.

    `seat` is shared by the sessions of an acquisition, and holds the one that is served.
    """

    def __init__(self, acquisition: Acquisition, seat: "set[StreamSession]", wire: Wire) -> None:
        super().__init__(b"PAIR", (b"PAIR",))
        self._acquisition = acquisition
        self._seat = seat
        self._wire = wire
        self._under_way = False

    def take(self, limit: int) -> bytes:
        while not self._leaving and self in self._seat and self._acquisition.queue:
            self._load(self._acquisition.queue[0])
            self._under_way = bool(self._leaving)
            if not self._under_way:  # lost on the way
                self._acquisition.queue.popleft()
        taken = super().take(limit)
        if self._under_way and not self._leaving:
            self._under_way = False
            self._acquisition.queue.popleft()
        return taken

    def interject(self, text: bytes) -> None:
        """A PAIR socket may speak whenever it likes."""
        if self in self._seat:
            self._say([text], len(text))

    def ended(self) -> None:
        if self in self._seat:
            self._seat.discard(self)
            self._acquisition.on_frame = lambda: None

    def _got_ready(self) -> None:
        if self._seat:
            self.on_hang_up()
            return
        self._seat.add(self)
        self._acquisition.on_frame = lambda: self.on_output()
        self.on_output()

    def _load(self, frame: bytes) -> None:
        torn = self._wire.hangs_up_next
        for message in self._wire.deliver(frame):
            self._frame(message, len(frame) if torn else len(message), 0)


def _properties(data: bytes) -> dict[bytes, bytes]:
    """What a READY command tells, by names in lower case."""
    found = {}
    while data:
        name_end = 1 + data[0]
        value_end = name_end + 4 + int.from_bytes(data[name_end : name_end + 4], "big")
        found[data[1:name_end].lower()] = data[name_end + 4 : value_end]
        data = data[value_end:]
    return found

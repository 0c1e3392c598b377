"""What instruments that speak in lines have in common, whatever the wire."""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakSet

from qkd_firmware_sim.cores.core import PS_PER_S

_LONGEST_LINE = 256
_MOST_WAITING = 64


@dataclass(frozen=True)
class Busy:
    """Work that keeps the firmware from listening; then it answers."""

    seconds: float
    finish: Callable[[], str]


class LineCore:
    """Answers one line after another, for any number of clients; subclasses define `answer`."""

    def __init__(self, *, line_end: bytes = rb"\r\n?|\n", reply_end: str = "\r\n") -> None:
        self.now_ps = 0
        self.line_end = re.compile(line_end)
        self._reply_end = reply_end
        self._sessions: WeakSet[LineSession] = WeakSet()
        self._waiting: deque[tuple[LineSession, str]] = deque()
        self._work: tuple[LineSession, int, Callable[[], str]] | None = None

    def session(self) -> "LineSession":
        """A client's own conversation."""
        session = LineSession(self)
        self._sessions.add(session)
        return session

    def answer(self, line: str) -> str | Busy:
        """The reply to a command; empty for one that is answered by silence."""
        raise NotImplementedError

    def advance(self, now_ps: int) -> None:
        """Moves the instrument's clock on to now_ps and ends work that is due."""
        self.now_ps = now_ps
        while self._work is not None and self._work[1] <= now_ps:
            session, _, finish = self._work
            self._work = None
            self._reply(session, finish())
            self._resume()

    def power_cycle(self) -> None:
        """Starts the firmware anew: what was not saved is lost."""
        self._work = None
        self._waiting.clear()
        for session in self._sessions:
            session.clear()

    @property
    def reply_end(self) -> str:
        """What comes after an answer."""
        return self._reply_end

    @property
    def busy(self) -> bool:
        return self._work is not None

    def take_line(self, session: "LineSession", line: str) -> None:
        """Executes a client's line, or keeps it while the firmware is busy."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((session, line))
        self._resume()

    def _tell(self, line: str) -> None:
        """Sends a line unasked to everyone who listens."""
        for session in list(self._sessions):
            self._reply(session, line)

    def _resume(self) -> None:
        while self._waiting and self._work is None:
            session, line = self._waiting.popleft()
            match self.answer(line):
                case Busy(seconds=seconds, finish=finish):
                    self._work = session, self.now_ps + round(seconds * PS_PER_S), finish
                case str(reply):
                    self._reply(session, reply)

    def _reply(self, session: "LineSession", reply: str) -> None:
        if reply:
            session.emit((reply + self.reply_end).encode("ascii", "replace"))


class LineSession:
    """Cuts a client's bytes into lines and holds what is to leave."""

    def __init__(self, core: LineCore) -> None:
        self.on_output: Callable[[], None] = lambda: None
        self._core = core
        self._input = b""
        self._output = bytearray()

    def receive(self, data: bytes) -> None:
        self._input += data
        while match := self._core.line_end.search(self._input):
            line, self._input = self._input[: match.start()], self._input[match.end() :]
            text = line.decode("ascii", "replace").strip()
            if text:
                self._core.take_line(self, text)
        self._input = self._input[-_LONGEST_LINE:]

    def take(self, limit: int) -> bytes:
        data = bytes(self._output[:limit])
        del self._output[:limit]
        return data

    def emit(self, data: bytes) -> None:
        """Queues bytes for the client."""
        self._output += data
        self.on_output()

    def clear(self) -> None:
        """Forgets what came in and what was to leave."""
        self._input = b""
        self._output.clear()

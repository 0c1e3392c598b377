"""The service on the host that passes an ID900's tags on (DataLinkTargetService).

Commands are like those of a shell, answers are JSON. Frames of tags wait in queues, one for each
acquisition; whoever serves the streaming sockets takes them from there.
"""

import json
import shlex
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qkd_firmware_sim.cores.core import PS_PER_S

_FIRST_PORT = 5555
_TAG_BYTES = 8


class LinkError(Exception):
    """A command that the service declines; the message is its description."""


@dataclass
class Acquisition:
    """The tags of one channel on their way to one streaming port."""

    name: str
    channel: int
    port: int
    queue: deque[bytes] = field(default_factory=deque)
    on_frame: Callable[[], None] = lambda: None
    """Called when a frame has come into the queue."""
    acquisitions: int = 0
    timestamps: int = 0
    last_ps: int = 0


class DataLink:
    """The service, without its sockets."""

    def __init__(self) -> None:
        self.acquisitions: dict[str, Acquisition] = {}
        self._now_ps = 0

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait in all queues."""
        return sum(len(frame) for a in self.acquisitions.values() for frame in a.queue)

    def advance(self, now_ps: int) -> None:
        """Moves the service's clock on."""
        self._now_ps = now_ps

    def deliver(self, channel: int, frame: bytes) -> bool:
        """Takes the tags of a sub-acquisition from the box; False if nobody asked for them."""
        taken = False
        for acquisition in self.acquisitions.values():
            if acquisition.channel == channel:
                acquisition.queue.append(frame)
                acquisition.acquisitions += 1
                acquisition.timestamps += len(frame) // _TAG_BYTES
                acquisition.last_ps = self._now_ps
                acquisition.on_frame()
                taken = True
        return taken

    def execute(self, command: str) -> str:
        """The JSON answer to a command."""
        try:
            answer = self._run(command)
        except LinkError as error:
            answer = {"error": {"description": str(error)}}
        return json.dumps(answer)

    def withdraw(self, name: str) -> None:
        """Forgets an acquisition whose port cannot be served."""
        self.acquisitions.pop(name, None)

    def _run(self, command: str) -> Any:
        try:
            verb, *rest = shlex.split(command)
        except ValueError:
            raise LinkError("empty or unbalanced command") from None
        options = dict(zip(rest[::2], rest[1::2], strict=False))
        match verb:
            case "list":
                return list(self.acquisitions)
            case "start-stream":
                return {"id": self._start(options)}
            case "status":
                return self._status(self._named(options))
            case "stop":
                acquisition = self._named(options)
                status = self._status(acquisition)
                del self.acquisitions[acquisition.name]
                return {"status": status}
        raise LinkError(f"unknown command '{verb}'")

    def _start(self, options: dict[str, str]) -> str:
        address = options.get("--address", "")
        channel = _number(options, "--channel", 1, 4)
        port = _number(options, "--stream-port", 1, 65535)
        name = f"{address}:{_FIRST_PORT + channel}"
        if not address:
            raise LinkError("the option '--address' is required but missing")
        if name in self.acquisitions:
            raise LinkError(f"acquisition '{name}' is active already")
        if any(other.port == port for other in self.acquisitions.values()):
            raise LinkError(f"stream port {port} is in use")
        self.acquisitions[name] = Acquisition(name, channel, port, last_ps=self._now_ps)
        return name

    def _named(self, options: dict[str, str]) -> Acquisition:
        name = options.get("--id", "")
        if name not in self.acquisitions:
            raise LinkError(f"there is no acquisition '{name}'")
        return self.acquisitions[name]

    def _status(self, acquisition: Acquisition) -> dict[str, Any]:
        return {
            "acquisitions_count": acquisition.acquisitions,
            "timestamps_count": acquisition.timestamps,
            "inactivity": (self._now_ps - acquisition.last_ps) / PS_PER_S,
            "errors": [],
        }


def _number(options: dict[str, str], name: str, low: int, high: int) -> int:
    word = options.get(name, "")
    if not word.isdecimal() or not low <= int(word) <= high:
        raise LinkError(f"the argument ('{word}') for option '{name}' is invalid")
    return int(word)

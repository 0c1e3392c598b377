"""What befalls the bytes between an instrument and its client."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, runtime_checkable

from qkd_firmware_sim.cores.core import Session
from qkd_firmware_sim.frontends.faults import ALL, FAULTS

_LINE_END = re.compile(rb"\r\n|[\r\n\x17]")


@runtime_checkable
class Framed(Protocol):
    """A session that puts messages into frames, and takes each through `Wire.deliver` before."""

    def interject(self, text: bytes) -> None:
        """Says what comes unasked, if it ever says such a thing."""

    def ended(self) -> None:
        """Its connection is gone."""


class Wire:
    """The faults on one instrument's wires; every front-end of it sends through here.

    `fronts` are the kinds of its front-ends: what none of them can show is refused.
    """

    idle_s: float | None
    _truncate: int | None
    _hang_up: int | None
    _line_end: bytes | None

    def __init__(self, fronts: Iterable[str] = ALL) -> None:
        self._fronts = frozenset(fronts)
        self.generation = 0
        """Connections made in an earlier generation carry nothing any more."""
        self._hanging_up: asyncio.Task[None] | None = None
        self._changed: list[Callable[[], Awaitable[None]]] = []
        self._injectors: list[Callable[[bytes], None]] = []
        self._mend()

    def attach(
        self, changed: Callable[[], Awaitable[None]], inject: Callable[[bytes], None]
    ) -> None:
        """Registers a front-end: told when what befalls its connections has changed."""
        self._changed.append(changed)
        self._injectors.append(inject)

    def detach(
        self, changed: Callable[[], Awaitable[None]], inject: Callable[[bytes], None]
    ) -> None:
        """Forgets a front-end that is no more."""
        self._changed.remove(changed)
        self._injectors.remove(inject)

    async def apply(
        self, fault: str, *, size: int = 2, delay_s: float = 1.0, text: str = ""
    ) -> None:
        """Brings a fault of `FAULTS` about; ValueError if it is none, or none of these wires'."""
        if fault not in FAULTS:
            raise ValueError(f"{fault!r} is no fault of a wire; choose from {', '.join(FAULTS)}")
        if not self._fronts.intersection(FAULTS[fault].fronts):
            raise ValueError(
                f"{fault!r} happens on {' and '.join(FAULTS[fault].fronts)}, "
                f"not on {' and '.join(sorted(self._fronts))}"
            )
        match fault:
            case "refuse":
                self.refused = True
            case "busy":
                self.busy = True
            case "slam":
                self.slams = True
            case "cut":
                self.cut = True
            case "restore":
                self._mend()
            case "half_open":
                self.generation += 1
            case "idle":
                self.idle_s = delay_s
            case "silence":
                self.silent = True
            case "drop":
                self._drop = True
            case "delay":
                self.delay_s = delay_s
            case "glue":
                self.glue_s = delay_s
            case "split":
                self.piece_bytes, self.piece_s = max(1, size), delay_s
            case "hang_up":
                self._hang_up = size
            case "truncate":
                self._truncate = size
            case "garble":
                self._garble = size
            case "noise":
                self._noise = size
            case "slip":
                self._slip = size
            case "duplicate":
                self._duplicate = True
            case "terminator":
                self._line_end = text.encode()
            case "echo":
                self._echo = True
            case "complain":
                self._complaint = text.encode() + b"\r\n"
            case "unsolicited":
                for inject in self._injectors:
                    inject(text.encode() + b"\r\n")
        if fault in ("refuse", "busy", "slam", "cut", "idle", "restore"):
            await self._tell()

    async def settle(self) -> None:
        """Returns once a hang-up that has begun is over, and connections are let in again."""
        if self._hanging_up is not None:
            await self._hanging_up

    @property
    def hangs_up_next(self) -> bool:
        """Whether the next answer will be torn by the end of its connection."""
        return self._hang_up is not None

    def carry(self, data: bytes) -> bytes:
        """What arrives of one piece that the instrument sends."""
        return b"".join(self.deliver(data)) if data else data

    def deliver(self, message: bytes) -> list[bytes]:
        """The messages that arrive of one that the instrument sends; it may be an empty one."""
        data = message
        if self.silent or self.cut:
            return []
        if self._drop:
            self._drop = False
            return []
        if self._line_end is not None:
            end = self._line_end
            data = _LINE_END.sub(lambda _: end, data)
        again = [data] if self._duplicate else []
        self._duplicate = False
        if self._noise:
            data, self._noise = bytes(37 * i + 129 & 0xFF for i in range(self._noise)) + data, 0
        if self._slip:
            lost = min(self._slip, len(data))
            self._slip -= lost
            data = data[lost:]
        if self._garble:
            wrong = min(self._garble, len(data))
            self._garble -= wrong
            data = bytes(byte ^ 0x55 for byte in data[:wrong]) + data[wrong:]
        if self._truncate is not None:
            data, self._truncate = data[: self._truncate], None
        if self._hang_up is not None:
            data, self._hang_up = data[: self._hang_up], None
            self.cut = True  # nothing follows on connections that are about to drop
            self._hanging_up = asyncio.ensure_future(self._drop_connections())
        return [data, *again]

    def met_by(self, request: bytes) -> bytes:
        """What a request meets on its way to the instrument, before any answer."""
        complaint, self._complaint = self._complaint, b""
        return (request if self._echo else b"") + complaint

    def _mend(self) -> None:
        self.refused = self.busy = self.slams = self.cut = self.silent = False
        self.delay_s = self.glue_s = self.piece_s = 0.0
        self.idle_s = None
        self.piece_bytes = 0
        self._drop = self._duplicate = self._echo = False
        self._truncate = self._hang_up = None
        self._line_end = None
        self._garble = self._noise = self._slip = 0
        self._complaint = b""

    async def _drop_connections(self) -> None:
        await self._tell()
        self.cut = False
        await self._tell()

    async def _tell(self) -> None:
        for changed in list(self._changed):
            await changed()


class IdleTimer:
    """Drops a connection on which nothing passes for `Wire.idle_s`."""

    def __init__(self, wire: Wire, drop: Callable[[], object]) -> None:
        self._wire = wire
        self._drop = drop
        self._timer: asyncio.TimerHandle | None = None

    def restart(self) -> None:
        """Something has passed, or the fault has just begun or ended."""
        self.stop()
        if self._wire.idle_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._wire.idle_s, self._drop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Outlet:
    """Moves a session's output through a wire to a file descriptor or socket, and requests back.

    Output is taken from the session only as fast as `send` accepts it, so that back-pressure
    reaches the instrument. `send` returns how many bytes it took.
    """

    def __init__(
        self, session: Session, wire: Wire, send: Callable[[bytes], int], *, baud: int | None = None
    ) -> None:
        self._session = session
        self._wire = wire
        self._send = send
        self._baud = baud
        self._framed = session if isinstance(session, Framed) else None
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def hear(self, request: bytes) -> None:
        """Takes what the client sends."""
        if self._framed is None and (met := self._wire.met_by(request)):
            self.inject(met)
        self._session.receive(request)

    def pump(self) -> bool:
        """Sends what can be sent; True if the far side should be watched for room."""
        if self._closed or self._timer is not None:
            return False
        while True:
            if not self._held:
                taken = self._session.take(self._wire.piece_bytes or (64 if self._baud else 65536))
                if not taken:
                    return False
                self._held = self._carried(taken)
                pause_s = self._wire.delay_s + self._wire.piece_s + self._wire.glue_s
                if self._baud:
                    pause_s += len(taken) * 10 / self._baud
                if pause_s:
                    self._pause(pause_s)
                    return False
            sent = self._send(self._held)
            self._held = self._held[sent:]
            if self._held:
                return True

    def inject(self, data: bytes) -> None:
        """Puts bytes on the wire that the session did not send."""
        if self._framed is not None:
            self._framed.interject(data)
            return
        self._held += data
        self.pump()

    def close(self) -> None:
        if self._framed is not None:
            self._framed.ended()
        self._closed = True
        self._held = b""
        if self._timer is not None:
            self._timer.cancel()

    def _carried(self, taken: bytes) -> bytes:
        return taken if self._framed is not None else self._wire.carry(taken)

    def _pause(self, seconds: float) -> None:
        def resume() -> None:
            self._timer = None
            if self._wire.glue_s:
                self._held += self._carried(self._session.take(65536))
            # The front-end's own pump, which also watches for room.
            self._session.on_output()

        self._timer = asyncio.get_running_loop().call_later(seconds, resume)

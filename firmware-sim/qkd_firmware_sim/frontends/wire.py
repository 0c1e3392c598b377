"""What may befall the bytes between an instrument and its client."""

import asyncio
from collections.abc import Awaitable, Callable

from qkd_firmware_sim.cores.core import Session

FAULTS = {
    "refuse": "no new connection is let in, until restored",
    "cut": "connections drop and cannot be made, until restored",
    "restore": "ends every lasting fault",
    "silence": "the instrument hears but its answers get lost, until restored",
    "delay": "answers come delay_s late, until restored",
    "hang_up": "connections drop after `size` bytes of the next answer; new ones are let in",
    "truncate": "the next answer ends after `size` bytes",
    "garble": "the next `size` bytes come out wrong",
    "slip": "the next `size` bytes are lost",
    "unsolicited": "the instrument sends `text` unasked",
}


class Wire:
    """The faults on one instrument's wires; every front-end of it sends through here."""

    def __init__(self) -> None:
        self.refused = False
        self.cut = False
        self.delay_s = 0.0
        self.silent = False
        self._truncate: int | None = None
        self._hang_up: int | None = None
        self._garble = 0
        self._slip = 0
        self._hanging_up: asyncio.Task[None] | None = None
        self._changed: list[Callable[[], Awaitable[None]]] = []
        self._injectors: list[Callable[[bytes], None]] = []

    def attach(
        self, changed: Callable[[], Awaitable[None]], inject: Callable[[bytes], None]
    ) -> None:
        """Registers a front-end: told when connections are cut, refused or let in again."""
        self._changed.append(changed)
        self._injectors.append(inject)

    async def apply(
        self, fault: str, *, size: int = 2, delay_s: float = 1.0, text: str = ""
    ) -> None:
        """Brings a fault of `FAULTS` about; ValueError for a name that is none of them."""
        if fault not in FAULTS:
            raise ValueError(f"{fault!r} is no fault of a wire; choose from {', '.join(FAULTS)}")
        match fault:
            case "refuse":
                self.refused = True
            case "cut":
                self.cut = True
            case "restore":
                self.refused = self.cut = self.silent = False
                self.delay_s = 0.0
                self._truncate, self._hang_up, self._garble, self._slip = None, None, 0, 0
            case "silence":
                self.silent = True
            case "delay":
                self.delay_s = delay_s
            case "hang_up":
                self._hang_up = size
            case "truncate":
                self._truncate = size
            case "garble":
                self._garble = size
            case "slip":
                self._slip = size
            case "unsolicited":
                for inject in self._injectors:
                    inject(text.encode() + b"\r\n")
        if fault in ("refuse", "cut", "restore"):
            await self._tell()

    def carry(self, data: bytes) -> bytes:
        """What arrives of one piece that the instrument sends."""
        if self.silent or self.cut:
            return b""
        if self._slip:
            lost = min(self._slip, len(data))
            self._slip -= lost
            data = data[lost:]
        if self._garble:
            wrong = min(self._garble, len(data))
            self._garble -= wrong
            data = bytes(byte ^ 0x55 for byte in data[:wrong]) + data[wrong:]
        if self._truncate is not None and data:
            data, self._truncate = data[: self._truncate], None
        if self._hang_up is not None and data:
            data, self._hang_up = data[: self._hang_up], None
            self._hanging_up = asyncio.ensure_future(self._drop_connections())
        return data

    @property
    def hanging_up(self) -> bool:
        """Whether connections are about to drop: a message begun now never ends."""
        return self._hanging_up is not None and not self._hanging_up.done()

    async def _drop_connections(self) -> None:
        self.cut = True
        await self._tell()
        self.cut = False
        await self._tell()

    async def _tell(self) -> None:
        for changed in self._changed:
            await changed()


class Outlet:
    """Moves a session's output through a wire to a file descriptor or socket.

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
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def pump(self) -> bool:
        """Sends what can be sent; True if the far side should be watched for room."""
        if self._closed or self._timer is not None:
            return False
        while True:
            if not self._held:
                taken = self._session.take(64 if self._baud else 65536)
                if not taken:
                    return False
                self._held = self._wire.carry(taken)
                pause_s = self._wire.delay_s + (len(taken) * 10 / self._baud if self._baud else 0)
                if pause_s:
                    self._pause(pause_s)
                    return False
            sent = self._send(self._held)
            self._held = self._held[sent:]
            if self._held:
                return True

    def inject(self, data: bytes) -> None:
        """Puts bytes on the wire that the session did not send."""
        self._held += data
        self.pump()

    def close(self) -> None:
        self._closed = True
        self._held = b""
        if self._timer is not None:
            self._timer.cancel()

    def _pause(self, seconds: float) -> None:
        def resume() -> None:
            self._timer = None
            # The front-end's own pump, which also watches for room.
            self._session.on_output()

        self._timer = asyncio.get_running_loop().call_later(seconds, resume)

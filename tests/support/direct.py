"""Cores without wires: their bytes in a test's hands, or a driver put straight on one."""

from typing import Any

from qkd_drivers.catalogue import make_device
from qkd_drivers.errors import DeviceLost
from qkd_drivers.transports.base import BufferedTransport
from qkd_firmware_sim.cores.core import PS_PER_S

_STEP_PS = PS_PER_S // 20


def run(core: Any, seconds: float) -> None:
    """Lets a core's time pass."""
    end = core.now_ps + round(seconds * PS_PER_S)
    while core.now_ps < end:
        core.advance(min(end, core.now_ps + _STEP_PS))


class Client:
    """A program that talks to a core."""

    def __init__(self, core: Any) -> None:
        self._session = core.session()

    def ask(self, request: bytes) -> bytes:
        """Sends bytes; all that has come back by then."""
        self._session.receive(request)
        return self.heard()

    def heard(self) -> bytes:
        """What came since the last look."""
        return bytes(self._session.take(1 << 20))


class DirectTransport(BufferedTransport):
    """A pipe without a kernel in between; time passes while the core is busy, and a little with
    each request."""

    def __init__(self, core: Any) -> None:
        super().__init__("direct")
        self._core = core
        self._session = core.session()

    async def open(self) -> None:
        self._start()
        self._session.on_output = self._pull

    async def close(self) -> None:
        self._fail(DeviceLost("closed"))

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        self._check()
        self._core.advance(self._core.now_ps + _STEP_PS // 100)
        self._session.receive(data)
        while getattr(self._core, "busy", False):
            self._core.advance(self._core.now_ps + _STEP_PS)

    async def drain(self, *, quiet_s: float = 0.05, limit_s: float = 1.0) -> bytes:
        return self.discard()  # nothing comes by itself

    async def resynchronise(self) -> None:
        self.discard()

    def _pull(self) -> None:
        self._feed(self._session.take(1 << 20))

    def _pause(self) -> None:
        """Never needed: what comes is small."""

    def _resume(self) -> None:
        """Never paused."""


def driver_on(model: str, core: Any, options: str = "") -> Any:
    """The driver of a model, not yet connected, with its wire on a core."""
    device: Any = make_device(model, f"serial:direct{options}", "it")
    device._wire.transport = DirectTransport(core)
    return device


def currents_seen(device: Any, core: Any) -> list[float]:
    """The current through a driver's diode after each request from now on."""
    seen = [core.current_a]
    write = device._wire.transport.write

    async def watched(data: bytes, **options: Any) -> None:
        await write(data, **options)
        seen.append(core.current_a)

    device._wire.transport.write = watched
    return seen

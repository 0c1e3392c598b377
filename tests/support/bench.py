"""A bench of simulated instruments on real wires, for tests of drivers and actors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qkd_drivers.transports.shared import SharedTransport
from qkd_firmware_sim.bench import FRONTS
from qkd_firmware_sim.cores.epc400 import Epc400
from qkd_firmware_sim.cores.id900 import Id900
from qkd_firmware_sim.cores.itc4000 import Itc4000
from qkd_firmware_sim.cores.s15_spd import Diode, Spd
from qkd_firmware_sim.cores.s15_spdc import SpdcDriver
from qkd_firmware_sim.cores.s15_tdc1 import Tdc1
from qkd_firmware_sim.frontends.hislip import HislipPort
from qkd_firmware_sim.frontends.pty import PtyPort
from qkd_firmware_sim.frontends.tcp import TcpPort
from qkd_firmware_sim.frontends.two_ports import TwoPorts
from qkd_firmware_sim.frontends.wire import Wire
from qkd_firmware_sim.lab import Instrument
from qkd_firmware_sim.registry import SIMULATED, Spot
from qkd_firmware_sim.table import End

THERMAL_SPEED = 200.0
STRANGERS: dict[str, str] = {}
"""Models of other packages whose plugin takes them through the contract suite: how each answers."""
_TICK_S = 0.005


class Bench:
    """Instruments, their wires, and the clock that drives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cores: list[Any] = []
        self.rate_cps: dict[Any, float] = {}
        self._ports: list[Any] = []
        self._wires: dict[str, Wire] = {}
        self._now_ps = 0

    async def plug(self, core: Any, *, front: str = "pty") -> tuple[str, Wire]:
        """Gives an instrument a wire; returns its address and the faults of the wire."""
        wire = Wire((front,))
        section = Instrument(name=f"tty{len(self._ports)}", model="any")
        port = FRONTS[front](core, wire, section, self.folder)
        await port.open()
        self._ports.append(port)
        self._wires[port.address] = wire
        if core not in self.cores:
            core.advance(self._now_ps)
            self.cores.append(core)
        return port.address, wire

    async def swap(self, address: str, core: Any) -> None:
        """Puts another instrument on a wire; it is unplugged meanwhile."""
        (port,) = (port for port in self._ports if port.address == address)
        await self._wires[address].apply("cut")
        match port:
            case PtyPort():
                port._session.on_output = lambda: None
                port._session = core.session()
                port._session.on_output = port._pump
            case TcpPort():
                port._session = core.session
            case TwoPorts():
                port._control._session, port._counts._session = core.session, core.counts_session
            case HislipPort():
                port._instrument = core
        if core not in self.cores:
            core.advance(self._now_ps)
            self.cores.append(core)
        await self._wires[address].apply("restore")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while True:
            before_ps, self._now_ps = self._now_ps, round((loop.time() - start_s) * 1e12)
            for core in self.cores:
                if rate := self.rate_cps.get(core, 0.0):
                    period_ps = round(1e12 / rate)
                    first, last = -(-before_ps // period_ps), -(-self._now_ps // period_ps)
                    ticks = np.arange(first, last, dtype=np.int64)
                    if isinstance(core, Tdc1 | Id900):
                        core.clicks(ticks * period_ps, (ticks % 4 + 1).astype(np.uint8))
                    else:
                        core.clicks(ticks * period_ps)
                core.advance(self._now_ps)
            await asyncio.sleep(_TICK_S)

    async def close(self) -> None:
        for port in self._ports:
            await port.close()


@asynccontextmanager
async def running_bench(folder: Path) -> AsyncIterator[Bench]:
    """A bench whose clock runs at real time."""
    bench = Bench(folder)
    async with asyncio.TaskGroup() as group:
        clock = group.create_task(bench.run())
        try:
            yield bench
        finally:
            clock.cancel()
            await bench.close()


def simulated(model: str) -> Any:
    """A fresh core of a model, with thermal time constants that suit a test."""
    spot = Spot("SN-0412", End(), np.random.default_rng(1), thermal_speed=THERMAL_SPEED)
    return SIMULATED[model].make(spot)


def spd() -> Spd:
    return Spd("SPD-7", Diode(), thermal_speed=THERMAL_SPEED)


def spdc() -> SpdcDriver:
    return SpdcDriver("SPDC-3", thermal_speed=THERMAL_SPEED)


def tdc1() -> Tdc1:
    return Tdc1("TDC-5", np.random.default_rng(1))


def id900() -> Id900:
    return Id900("T900-1")


def itc() -> Itc4000:
    return Itc4000("M00412", thermal_speed=THERMAL_SPEED)


def epc() -> Epc400:
    return Epc400()


async def eventually(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Returns as soon as a condition holds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def arrival(device: Any, data: bytes) -> None:
    """Returns once data waits where a driver reads, on a wire that the event loop feeds."""
    transport = device._wire.transport
    if isinstance(transport, SharedTransport):
        transport = transport._port.transport
    await eventually(lambda: bytes(transport._buffer).endswith(data))

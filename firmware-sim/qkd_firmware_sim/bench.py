"""A running lab: the world, the wires of its instruments, and the control socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from qkd_firmware_sim import actions
from qkd_firmware_sim.actions import Action
from qkd_firmware_sim.control import ControlSocket
from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.frontends.hislip import HislipPort
from qkd_firmware_sim.frontends.pty import PtyPort
from qkd_firmware_sim.frontends.tcp import TcpPort
from qkd_firmware_sim.frontends.two_ports import TwoPorts
from qkd_firmware_sim.frontends.wire import Wire
from qkd_firmware_sim.frontends.zmtp import ZmtpPort
from qkd_firmware_sim.lab import CONTROL_SOCKET, Instrument, Lab, LabError
from qkd_firmware_sim.registry import SIMULATED
from qkd_firmware_sim.world import World, WorldError

_MOST_LATE_S = 0.2
_HOLD_S = 0.005


class Port(Protocol):
    """A front-end that serves an instrument."""

    @property
    def last_progress_s(self) -> float:
        """When a client last took output, on the loop's clock."""

    @property
    def address(self) -> str: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


Front = Callable[[Any, Wire, Instrument, Path], Port]
"""Of a core, its wire, its section of the lab file, and the directory of ports."""

FRONTS: dict[str, Front] = {
    "pty": lambda core, wire, section, directory: PtyPort(
        core.session(), directory / section.name, wire, baud=section.baud
    ),
    "tcp": lambda core, wire, section, _: TcpPort(core.session, wire, port=section.tcp_port),
    "two-tcp": lambda core, wire, section, _: TwoPorts(
        core.session, core.counts_session, wire, port=section.tcp_port
    ),
    "hislip": lambda core, wire, section, _: HislipPort(core, wire, port=section.hislip_port),
    "zmtp": lambda core, wire, section, _: ZmtpPort(
        core, wire, port=section.zmtp_port, service_port=section.service_port
    ),
}


class Bench:
    """Hosts a lab. ``async with Bench(lab, directory) as bench: await bench.run()``.

    ``tell`` is given a line for each event of the lab file that fails when its time has come.
    """

    def __init__(self, lab: Lab, directory: Path, tell: Callable[[str], None] = print) -> None:
        self.world = World(lab)
        self.directory = directory
        self._lab = lab
        self._tell = tell
        self._wires: dict[str, Wire] = {}
        self._ports: list[tuple[str, Port]] = []
        self._control = ControlSocket(directory / CONTROL_SOCKET, self._answer)
        self._due = sorted(lab.events, key=lambda event: event.time_s)
        for instrument in lab.instruments:
            self._wire(instrument)

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Each instrument's name with an address at which nodes reach it; some have two."""
        return [(name, port.address) for name, port in self._ports]

    async def __aenter__(self) -> "Bench":
        await self._rehearse()
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LabError(f"cannot make {self.directory}: {error.strerror}") from None
        await self._control.open()
        try:
            for name, port in self._ports:
                await self._open_port(name, port)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Takes every wire away and removes what was published."""
        await self._control.close()
        for _, port in self._ports:
            await port.close()

    async def run(self) -> None:
        """Lets virtual time pass until cancelled."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        begin_ps = self.world.now_ps
        while True:
            virtual_s = (self.world.now_ps - begin_ps) / PS_PER_S
            due_s = begin_s + virtual_s / self._lab.speed
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not self._lab.strict_realtime and self._held_back(loop.time()):
                await asyncio.sleep(_HOLD_S)
                continue
            late_s = loop.time() - due_s
            if late_s > _MOST_LATE_S and not self._lab.strict_realtime:
                begin_s += late_s
            await self._act_on_schedule()
            self.world.tick()

    async def act(self, action: Action) -> None:
        """Carries out an action on the table, in a device or on a wire. Raises WorldError."""
        self.world.check(action)
        if isinstance(action, actions.WireFault):
            await _befall(self._wires[action.device], action)
        else:
            self.world.act(action)

    async def _rehearse(self) -> None:
        """Raises LabError with a line for each event that cannot happen here."""
        models = {instrument.name: instrument.model for instrument in self._lab.instruments}
        faults = []
        for number, event in enumerate(self._lab.events):
            try:
                self.world.check(event.action)
                if isinstance(event.action, actions.WireFault):
                    # On a wire of the same kinds at which nothing hangs.
                    spare = Wire(SIMULATED[models[event.action.device]].fronts)
                    await _befall(spare, event.action)
            except WorldError as error:
                faults.append(f"at[{number}], time_s = {event.time_s:g}: {error}")
        if faults:
            raise LabError("\n".join(faults))

    def _wire(self, instrument: Instrument) -> None:
        core: Any = self.world.cores[instrument.name]
        model = SIMULATED[instrument.model]
        wire = self._wires[instrument.name] = Wire(model.fronts)
        section = msgspec.structs.replace(instrument, baud=instrument.baud or model.baud)
        for front in model.fronts:
            port = FRONTS[front](core, wire, section, self.directory)
            self._ports.append((instrument.name, port))

    def _held_back(self, now_s: float) -> bool:
        """Whether a tagger's host reads, but too slowly for time to go on.

        A host that has not read for `reader_patience_s` is taken to be gone; from then on the
        tagger's FIFO fills and overflows, as it would on a table.
        """
        for name, tagger in self.world.taggers.items():
            full = tagger.backlog_bytes > tagger.fifo_bytes // 2
            progress_s = max(port.last_progress_s for other, port in self._ports if other == name)
            reads = now_s - progress_s < self._lab.reader_patience_s
            if full and reads and not self._wires[name].cut:
                return True
        return False

    async def _act_on_schedule(self) -> None:
        while self._due and self._due[0].time_s * PS_PER_S <= self.world.now_ps:
            event = self._due.pop(0)
            try:
                await self.act(event.action)
            except WorldError as error:
                self._tell(f"[[at]] time_s = {event.time_s:g}: {error}; the lab goes on")

    async def _open_port(self, name: str, port: Port) -> None:
        try:
            await port.open()
        except OSError as error:
            raise LabError(f"cannot open {port.address} for {name}: {error.strerror}") from None

    async def _answer(self, line: bytes) -> bytes:
        try:
            action: Action = msgspec.json.decode(line, type=Action)
            await self.act(action)
        except (msgspec.DecodeError, WorldError) as error:
            return msgspec.json.encode({"ok": False, "error": str(error)})
        answer: dict[str, object] = {"ok": True}
        if isinstance(action, actions.Status):
            answer["status"] = self.world.status()
        return msgspec.json.encode(answer)


async def _befall(wire: Wire, action: actions.WireFault) -> None:
    try:
        await wire.apply(action.fault, size=action.size, delay_s=action.delay_s, text=action.text)
    except ValueError as error:
        raise WorldError(str(error)) from None
    except OSError as error:
        raise WorldError(f"{action.device}: {action.fault}: {error.strerror}") from None

"""The lab file: what stands on the optical table, and what will happen to it."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from qkd_firmware_sim.actions import ACTIONS, Action
from qkd_firmware_sim.frontends.two_ports import COUNTS_OFFSET
from qkd_firmware_sim.reading import Reading, numbered
from qkd_firmware_sim.registry import SIMULATED
from qkd_firmware_sim.roles import Role
from qkd_firmware_sim.table import End, EndName, Fibre, Section, Source

CONTROL_SOCKET = "control.sock"
"""Beside the instruments' ports in the runtime directory, so that none can have its name."""

Port = Annotated[int, Meta(ge=0, le=65535)]
TimeS = Annotated[float, Meta(ge=0, le=1e9)]

_LARGEST_PORT = 65535
_LONGEST_NAME = 64
_PORTS: dict[str, dict[str, tuple[int, ...]]] = {
    "pty": {},
    "tcp": {"tcp_port": (0,)},
    "two-tcp": {"tcp_port": (0, COUNTS_OFFSET)},
    "hislip": {"hislip_port": (0,)},
    "zmtp": {"zmtp_port": (0,), "service_port": (0,)},
}
"""For each front-end the settings that name its ports, and which ports follow from each."""


class LabError(Exception):
    """A lab that cannot be used; each line of the message says where and why."""


class Instrument(Section, frozen=True):
    """A device, its place on the table and its wires; port 0 is one that the system chooses.

    A serial port answers at ``baud``, that of the model unless it is given.
    """

    name: str
    model: str
    end: EndName = "alice"
    detector: Annotated[int, Meta(ge=0, le=4)] = 0
    tcp_port: Port = 0
    hislip_port: Port = 0
    zmtp_port: Port = 0
    service_port: Port = 0
    baud: Annotated[int, Meta(ge=50, le=10_000_000)] | None = None


class Event(Section, frozen=True):
    """Something that happens at a virtual time."""

    time_s: TimeS
    action: Action


class Lab(Section, frozen=True):
    """A whole lab; `load` reads one from its file."""

    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 1
    speed: Annotated[float, Meta(ge=1e-3, le=1000)] = 1.0
    tick_ms: Annotated[float, Meta(ge=1, le=100)] = 10.0
    thermal_speed: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    strict_realtime: bool = False
    reader_patience_s: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    tagger_fifo_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 1 << 20
    runtime_dir: str = "run"
    source: Source = Source()
    fibre: Fibre = Fibre()
    ends: dict[EndName, End] = msgspec.field(default_factory=dict)
    instruments: tuple[Instrument, ...] = ()
    events: tuple[Event, ...] = msgspec.field(default=(), name="at")


def load(path: Path) -> Lab:
    """The lab that a file describes. Raises LabError, whose every line begins with the path."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot read the lab file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LabError(f"the lab file {path} is not UTF-8 text") from None
    with faults_of(path):
        return parse(text)


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Puts the path before each line of a LabError."""
    try:
        yield
    except LabError as error:
        raise LabError("\n".join(f"{path}: {line}" for line in str(error).split("\n"))) from None


def parse(text: str) -> Lab:
    """The lab that TOML text describes; ``[[at]]`` tables are its events.

    Raises LabError with a line for each fault.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabError(f"not TOML: {error}") from None
    reading = _LabReading()
    lab: Lab = reading.convert(document, Lab, "")
    if faults := reading.faults or list(_faults(lab)):
        raise LabError("\n".join(faults))
    return lab


class _LabReading(Reading):
    """An ``[[at]]`` table holds the time of an event and, beside it, the settings of its action."""

    def convert(self, value: Any, kind: Any, where: str) -> Any:
        if kind is not Event or not isinstance(value, dict):
            return super().convert(value, kind, where)
        action = dict(value)
        if "time_s" not in action:
            self.fault(f"{where}.time_s", "missing")
        time_s = super().convert(action.pop("time_s", 0), TimeS, f"{where}.time_s")
        do = action.pop("do", None)
        if not isinstance(do, str) or do not in ACTIONS:
            self.fault(f"{where}.do = {do!r}", f"choose from {', '.join(ACTIONS)}")
            return None
        return Event(time_s=time_s, action=super().convert(action, ACTIONS[do], where))


def _faults(lab: Lab) -> Iterator[str]:
    """What is wrong between settings of which each by itself is right."""
    if "\0" in lab.runtime_dir:
        yield "runtime_dir: a path has no zero byte in it"
    named: dict[str, str] = {}
    placed: dict[tuple[Role, str, int], str] = {}
    ports: dict[int, str] = {}
    for number, instrument in enumerate(lab.instruments):
        where = numbered("instruments", number, instrument.name)
        if fault := _name_fault(instrument.name):
            yield f"instruments[{number}].name = {instrument.name!r}: {fault}"
        if (first := named.setdefault(instrument.name, where)) != where:
            yield f"{where}.name: is that of {first} already; give it another"
        if instrument.model not in SIMULATED:
            yield (
                f"{where}.model = {instrument.model!r}: is not simulated; "
                f"choose from {', '.join(sorted(SIMULATED))}"
            )
            continue
        if SIMULATED[instrument.model].role is Role.DETECTOR and not instrument.detector:
            yield f"{where}.detector: a detector needs its number, 1 to 4"
        for place in _places(instrument):
            if (first := placed.setdefault(place, where)) != where:
                yield f"{where}: its place on the table is taken by {first}"
        yield from _port_faults(instrument, where, ports)


def _name_fault(name: str) -> str:
    fits = 0 < len(name) <= _LONGEST_NAME and name.isprintable()
    if fits and not name.startswith(".") and not set(name) & {"/", " "}:
        return "" if name != CONTROL_SOCKET else "is kept for the control socket"
    return (
        f"cannot be the name of an instrument: want 1 to {_LONGEST_NAME} visible characters, no "
        "blank or slash among them and no dot in front"
    )


def _port_faults(instrument: Instrument, where: str, taken: dict[int, str]) -> Iterator[str]:
    """Ports that a model has not, that are none, or that stand in ``taken``; adds to that."""
    fronts = SIMULATED[instrument.model].fronts
    own = {name: offsets for front in fronts for name, offsets in _PORTS[front].items()}
    hangs = f"{instrument.model} hangs on {' and '.join(fronts)}; leave it out"
    for name in ("tcp_port", "hislip_port", "zmtp_port", "service_port"):
        port = getattr(instrument, name)
        if port and name not in own:
            yield f"{where}.{name}: {hangs}"
            continue
        for each in (port + offset for offset in own.get(name, ()) if port):
            told = f"{where}.{name} = {port}"
            if each > _LARGEST_PORT:
                yield f"{told}: the port of its counts would be {each}; choose a lower one"
            elif (first := taken.setdefault(each, told)) != told:
                yield f"{told}: port {each} is taken by {first}; choose another"
    if instrument.baud is not None and "pty" not in fronts:
        yield f"{where}.baud: {hangs}"


def _places(instrument: Instrument) -> list[tuple[Role, str, int]]:
    """What only one instrument can be; none for those of which there may be many."""
    match role := SIMULATED[instrument.model].role:
        case Role.PUMP | Role.OVEN:
            return [(role, "", 0)]
        case Role.SOURCE:
            return [(Role.PUMP, "", 0), (Role.OVEN, "", 0)]
        case Role.TAGGER:
            return [(role, instrument.end, 0)]
        case Role.NANOWIRES:
            return [(Role.DETECTOR, instrument.end, number) for number in (1, 2, 3, 4)]
        case Role.DETECTOR:
            return [(role, instrument.end, instrument.detector)]
        case _:
            return []

"""The lab file: what stands on the optical table, and what will happen to it."""

import math
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from qkd_firmware_sim.actions import ACTIONS, Action
from qkd_firmware_sim.registry import SIMULATED
from qkd_firmware_sim.roles import Role
from qkd_firmware_sim.table import End, EndName, Fibre, Section, Source


class LabError(Exception):
    """A lab file that cannot be used; the message says where and why."""


class Instrument(Section, frozen=True):
    """A device, its place on the table and its wires."""

    name: str
    model: str
    end: EndName = "alice"
    detector: int = 0
    tcp_port: int = 0
    hislip_port: int = 0
    zmtp_port: int = 0
    service_port: int = 0
    baud: int | None = None


class Event(Section, frozen=True):
    """Something that happens at a virtual time."""

    time_s: float
    action: Action


class Lab(Section, frozen=True):
    """A whole lab; `load` reads one from its file."""

    seed: int = 1
    speed: float = 1.0
    tick_ms: float = 10.0
    thermal_speed: float = 1.0
    strict_realtime: bool = False
    reader_patience_s: float = 1.0
    tagger_fifo_bytes: int = 1 << 20
    runtime_dir: str = "run"
    source: Source = Source()
    fibre: Fibre = Fibre()
    ends: dict[EndName, End] = msgspec.field(default_factory=dict)
    instruments: tuple[Instrument, ...] = ()
    events: tuple[Event, ...] = ()


def load(path: Path) -> Lab:
    """The lab that a file describes. Raises LabError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot read the lab file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LabError(f"the lab file {path} is not UTF-8 text") from None
    try:
        return parse(text)
    except LabError as error:
        raise LabError(f"{path}: {error}") from None


def parse(text: str) -> Lab:
    """The lab that TOML text describes; ``[[at]]`` tables are its events. Raises LabError."""
    try:
        document = tomllib.loads(text)
        document["events"] = [_event(entry) for entry in document.pop("at", [])]
        lab = msgspec.convert(document, Lab)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise LabError(str(error)) from None
    faults = list(_faults(lab))
    if faults:
        raise LabError("; ".join(faults))
    return lab


def _event(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or "time_s" not in entry:
        raise LabError("every [[at]] needs time_s")
    if entry.get("do") not in ACTIONS:
        raise LabError(f"[[at]] do = {entry.get('do')!r}: choose from {', '.join(ACTIONS)}")
    rest = {key: value for key, value in entry.items() if key != "time_s"}
    return {"time_s": entry["time_s"], "action": rest}


def _faults(lab: Lab) -> list[str]:
    faults = []
    names = [instrument.name for instrument in lab.instruments]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(f"two instruments are called {name}")
    for name in names:
        if not name or "/" in name or any(c.isspace() for c in name) or name.startswith("."):
            faults.append(f"{name!r} cannot be the name of an instrument")
    for instrument in lab.instruments:
        if instrument.model not in SIMULATED:
            faults.append(
                f"{instrument.name}: {instrument.model!r} is not simulated; "
                f"choose from {', '.join(sorted(SIMULATED))}"
            )
    if faults:
        return faults
    taken = [place for instrument in lab.instruments for place in _places(instrument)]
    for instrument in lab.instruments:
        role = SIMULATED[instrument.model].role
        if role is Role.DETECTOR and instrument.detector not in (1, 2, 3, 4):
            faults.append(f"{instrument.name}: detector must be 1 to 4")
        if any(taken.count(place) > 1 for place in _places(instrument)):
            faults.append(f"{instrument.name}: its place on the table is taken twice")
    if not (0 < lab.speed <= 1000 and 1 <= lab.tick_ms <= 100):
        faults.append("speed must lie in 0 to 1000, tick_ms in 1 to 100")
    numbers = (lab.thermal_speed, lab.source.pairs_per_s_per_a, lab.source.phase_matching_width_c)
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        faults.append("thermal_speed, pairs_per_s_per_a, phase_matching_width_c must be positive")
    if not 0 <= lab.source.visibility <= 1:
        faults.append("source.visibility must lie in 0 to 1")
    for name, end in lab.ends.items():
        if end.loss_db < 0 or not 0 <= end.basis_z_probability <= 1:
            faults.append(f"ends.{name}: loss_db or basis_z_probability is out of range")
        if not 0 <= end.detectors.jitter_ps <= 100_000 or end.detectors.dead_time_ns < 0:
            faults.append(f"ends.{name}.detectors: jitter_ps or dead_time_ns is out of range")
    return faults


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

"""The lab file: what stands on the optical table, and what will happen to it."""

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from qkd_firmware_sim.actions import ACTIONS, Action

Model = Literal["s15-tdc1", "s15-spd", "s15-spdc", "thorlabs-itc4000", "oz-epc400"]
EndName = Literal["alice", "bob"]

ENDS: tuple[EndName, EndName] = ("alice", "bob")


class LabError(Exception):
    """A lab file that cannot be used; the message says where and why."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Source(_Section, frozen=True):
    """A pumped crystal that emits entangled pairs."""

    pairs_per_s_per_a: float = 12.6e6
    threshold_a: float = 0.025
    crystal_optimum_c: float = 45.0
    phase_matching_width_c: float = 1.6
    laser_optimum_c: float = 25.0
    laser_width_c: float = 12.0
    visibility: float = 0.975
    visibility_loss_per_a: float = 0.1


class Fibre(_Section, frozen=True):
    """The way to Bob: a rotation of the polarisation that walks at random."""

    rotation_rad: tuple[float, float, float] = (0.55, 0.5, 0.45)
    walk_rad_per_sqrt_s: float = 0.005
    half_wave_voltage_mv: float = 5000.0


class Clock(_Section, frozen=True):
    """A tagger's time base: constant error, slow wander, and its late first words."""

    offset_ms: float = 0.0
    error_ppm: float = 0.0
    wander_ppb: float = 5.0
    wander_time_s: float = 60.0
    max_start_latency_ms: float = 20.0


class Detectors(_Section, frozen=True):
    """The four detectors of an end."""

    saturated_efficiency: float = 0.58
    rated_dark_cps: float = 300.0
    breakdown_v: float = 180.0
    jitter_ps: float = 350.0
    dead_time_ns: float = 45.0
    afterpulse_probability: float = 0.005
    afterpulse_decay_ns: float = 60.0
    pulses: Literal["nim", "ttl"] = "nim"


class End(_Section, frozen=True):
    """One arm with its analyser, detectors and clock."""

    loss_db: float = 2.4
    delay_ns: float = 0.0
    basis_z_probability: float = 0.7
    clock: Clock = Clock()
    detectors: Detectors = Detectors()


class Instrument(_Section, frozen=True):
    """A device, its place on the table and its wires."""

    name: str
    model: Model
    end: EndName = "alice"
    detector: int = 0
    tcp_port: int = 0
    hislip_port: int = 0
    baud: int | None = None


class Event(_Section, frozen=True):
    """Something that happens at a virtual time."""

    time_s: float
    action: Action


class Lab(_Section, frozen=True):
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
    ends: dict[EndName, End] = {}
    instruments: tuple[Instrument, ...] = ()
    events: tuple[Event, ...] = ()


def load(path: Path) -> Lab:
    """The lab that a file describes. Raises LabError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot read the lab file {path}: {error.strerror}") from None
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
    places = [(i.model, i.end, i.detector) for i in lab.instruments]
    for instrument, place in zip(lab.instruments, places, strict=True):
        if instrument.model == "s15-spd" and instrument.detector not in (1, 2, 3, 4):
            faults.append(f"{instrument.name}: detector must be 1 to 4")
        if places.count(place) > 1:
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

"""A link under a random schedule of faults: it comes back from each, leaks nothing, keeps its key.

Thermal processes run sixty times faster than real ones and blocks are small, so that an hour of a
laboratory's mishaps fits into minutes. The short run is part of every test run; `make soak` runs
the long one, for QKD_SOAK_S seconds (1800) from QKD_SOAK_SEED (1).
"""

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from testbed import Testbed, quick_configs, set_up
from testbed_store import assert_same_pools
from waiting import until

from qkd_controller.node.operator import RequestDeclined
from qkd_firmware_sim.frontends.faults import FAULTS

SHORT_S = 45.0
LONG_S = float(os.environ.get("QKD_SOAK_S", "1800"))
SEED = int(os.environ.get("QKD_SOAK_SEED", "1"))
RECOVERY_S = 120.0
"""From the end of a fault to the next block that both ends release."""
WARM_UP_ROUNDS = 3
"""Rounds until a process holds what it needs, and of each window in which growth is looked for."""
FEWEST_ROUNDS = 3 * WARM_UP_ROUNDS
"""The warm-up, an early window and a late one, none of which share a round."""
MARGINS = {"descriptors": 4, "threads": 4, "tasks": 4, "KiB": 64 << 10}

DETECTORS = tuple(f"{end}-spd-{i}" for end in ("alice", "bob") for i in (1, 2, 3, 4))
TAGGERS = ("alice-tagger", "bob-tagger")
SERIAL = (*DETECTORS, *TAGGERS, "oven", "epc", "voa")
FRONTS = {**dict.fromkeys(SERIAL, ("pty",)), "pump": ("hislip", "tcp")}

TRIPS = ("interlock", "key_lock")
"""What befalls the pump and must be seen before it ends."""
STRANGERS = {"pump": "Thorlabs,PM100D,P0012,2.6.0"} | dict.fromkeys(
    (*DETECTORS, *TAGGERS, "oven"), "S-Fifteen Instruments LCDRV LCDRV-1"
)
"""What stands in the place of whatever says what it is."""

REVISIONS = [
    ("epc", "echo"),
    ("epc", "blank"),
    ("voa", "echo"),
    ("voa", "done"),
    ("pump", "unsigned"),
]
"""Firmware that a driver copes with, by device."""

# An attenuator joins the demo's table: nothing else there has a motor that could be slow.
_LAB = """
[[instruments]]
name = "voa"
model = "oz-dd100"
end = "alice"
"""
_NODE = """
[[links.devices]]
name = "voa"
kind = "attenuator"
model = "oz-dd100"
address = "serial:../lab/voa"
set_points = { attenuation_db = 0.8 }
"""

Action = dict[str, Any]


Fault = tuple[str, list[Action], Callable[["Testbed"], None]]
"""A name, what brings it about, and what ends it."""


@dataclass
class Figures:
    """What a soak tells at its end."""

    seed: int
    began_s: float = field(default_factory=time.monotonic)
    fired: Counter[str] = field(default_factory=Counter)
    recoveries: int = 0
    rearmed: int = 0
    longest_stall_s: float = 0.0
    longest_after: str = ""
    held: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    """By process, a sample a round: descriptors, threads, KiB in memory, tasks of a node."""

    def lines(self, bed: Testbed) -> list[str]:
        """The summary."""
        blocks = bed.released()
        lines = [
            f"soak: {time.monotonic() - self.began_s:.0f} s from seed {self.seed}",
            f"blocks released: {blocks[0]} and {blocks[1]}; sessions {bed.sessions()}",
            f"faults fired: {sum(self.fired.values())} of {len(self.fired)} sorts",
            f"recoveries: {self.recoveries}, of which re-armed {self.rearmed}",
            f"longest stall {self.longest_stall_s:.1f} s after {self.longest_after}",
        ]
        for name, samples in self.held.items():
            first, last = samples[WARM_UP_ROUNDS], samples[-1]
            told = ", ".join(f"{what} {first[what]} to {last[what]}" for what in last)
            lines.append(f"{name}: {told}")
        return lines


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A running link with an attenuator at one end."""
    directory = tmp_path_factory.mktemp("soak")
    configs = quick_configs(directory / "configs")
    for name, more in (("labs/demo.toml", _LAB), ("nodes/demo-alice.toml", _NODE)):
        with (configs / name).open("a", encoding="utf-8") as file:
            file.write(more)
    with set_up(directory, configs) as bed:
        bed.start()
        bed.until_keying()
        bed.until_released()
        yield bed


def test_a_short_soak(bed: Testbed, capsys: pytest.CaptureFixture[str]) -> None:
    """Under a minute of faults."""
    soak(bed, SHORT_S, SEED, capsys)


@pytest.mark.soak
@pytest.mark.timeout(int(2 * LONG_S) + 600)
def test_a_long_soak(bed: Testbed, capsys: pytest.CaptureFixture[str]) -> None:
    """Half an hour of faults, or as long as is asked for."""
    soak(bed, LONG_S, SEED, capsys)


def soak(bed: Testbed, for_s: float, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Round after round: faults, their end, and a block from both ends within the deadline."""
    chance = random.Random(seed)
    figures = Figures(seed)
    end_s = figures.began_s + for_s
    while time.monotonic() < end_s or figures.recoveries < FEWEST_ROUNDS:
        told = strike(bed, chance, figures)
        mended_s = time.monotonic()
        until(lambda: keying_or_rearmed(bed, figures), f"key again after {told}", RECOVERY_S)
        bed.until_released(within_s=RECOVERY_S)
        stall_s = time.monotonic() - mended_s
        figures.recoveries += 1
        if stall_s > figures.longest_stall_s:
            figures.longest_stall_s, figures.longest_after = stall_s, told
        sample(bed, figures)
        bed.assert_calm()
        if figures.recoveries % 10 == 0:
            assert_same_pools(*bed.stores())
    bed.same_keys("alice", number=4)
    bed.same_keys("bob", number=4)
    assert_same_pools(*bed.stores())
    with capsys.disabled():
        print("", *figures.lines(bed), sep="\n")
    for name, samples in figures.held.items():
        assert_bounded(name, samples)


def keying_or_rearmed(bed: Testbed, figures: Figures) -> bool:
    """Whether both ends make key; an operator re-arms the pump where it has tripped.

    A pump that restarts before the node's eyes has lost its cooling, and so has tripped.
    """
    if (pump := bed.alice.device("pump")) and pump.state == "tripped":
        with contextlib.suppress(RequestDeclined):  # it may be safe and sound by now
            bed.alice.rearm("pump")
            figures.rearmed += 1
    return all(node.is_("keying") for node in bed.nodes.values())


def strike(bed: Testbed, chance: random.Random, figures: Figures) -> str:
    """One to three faults at once, held for a while, then mended; tells what they were."""
    chosen = [pick(chance) for _ in range(chance.choice((1, 1, 2, 3)))]
    if trips := [each for each in chosen if each[0] in TRIPS]:
        chosen = trips[:1]  # a trip must be seen
    for name, actions, _ in chosen:
        figures.fired[name] += 1
        for action in actions:
            bed.act(**action)
    time.sleep(chance.uniform(0.2, 3.0))  # how long it lasts is part of the fault
    for _, _, mend in chosen:
        mend(bed)
    return " and ".join(f"{name} of {of[0].get('device', 'the fibre')}" for name, of, _ in chosen)


def pick(chance: random.Random) -> Fault:
    """A fault at random."""
    match chance.choices(("wire", "device", "fibre", "trip"), (14, 4, 2, 1))[0]:
        case "wire":
            device = chance.choice((*SERIAL, "pump", "pump"))
            shown = [n for n, f in FAULTS.items() if set(f.fronts) & set(FRONTS[device])]
            fault = chance.choice([name for name in shown if name != "restore"])
            action = {"do": "wire", "device": device, "fault": fault, **options(fault, chance)}
            return fault, [action], ending({"do": "wire", "device": device, "fault": "restore"})
        case "fibre":
            return chance.choice(
                [
                    ("fibre_cut", [{"do": "fibre_cut"}], ending({"do": "fibre_restore"})),
                    ("loss", [{"do": "loss", "loss_db": 6.0}], ending({"do": "fibre_restore"})),
                    ("kick", [{"do": "kick", "rotation_rad": [0.05, 0.0, 0.05]}], ending()),
                    ("clock_step", [{"do": "clock_step", "end": "bob", "step_ns": 40.0}], ending()),
                ]
            )
        case "trip":
            name, on, off = chance.choice(
                [
                    ("interlock", {"open": True}, {"open": False}),
                    ("key_lock", {"locked": True}, {"locked": False}),
                ]
            )
            trip = {"do": name, "device": "pump"}
            return name, [trip | on], once_tripped(trip | off)
        case _:
            detector, tagger = chance.choice(DETECTORS), chance.choice(TAGGERS)
            anything = chance.choice((*SERIAL, "pump"))
            unlatch = {"do": "latch", "device": detector, "latched": False}
            release = {"do": "stall", "device": detector, "stalled": False}
            return chance.choice(
                [
                    ("overflow", [{"do": "overflow", "device": tagger}], ending()),
                    ("reset", [{"do": "reset", "device": anything}], ending()),
                    ("power_cycle", [{"do": "power_cycle", "device": anything}], ending()),
                    ("latch", [{"do": "latch", "device": detector}], ending(unlatch)),
                    ("warm", [{"do": "warm", "device": detector, "kelvin": 8.0}], ending()),
                    ("stall", [{"do": "stall", "device": detector}], ending(release)),
                    another_instrument(chance.choice(list(STRANGERS))),
                    another_firmware(*chance.choice(REVISIONS)),
                    slow_home("voa", chance.uniform(2.0, 30.0)),
                ]
            )


def another_instrument(device: str) -> Fault:
    """It is asked who it is when its wire is back."""
    swap = {"do": "swap", "device": device}
    wire = {"do": "wire", "device": device}
    replug = [wire | {"fault": fault} for fault in ("cut", "restore")]
    return "swap", [swap | {"identity": STRANGERS[device]}, *replug], ending(swap)


def another_firmware(device: str, revision: str) -> Fault:
    """One that the driver speaks as well."""
    firmware = {"do": "firmware", "device": device}
    return "firmware", [firmware | {"revision": revision}], ending(firmware)


def slow_home(device: str, factor: float) -> Fault:
    """A motor that has lost its home and takes its time to find it."""
    slow = {"do": "slow", "device": device}
    power_cycle = {"do": "power_cycle", "device": device}
    return "slow", [slow | {"factor": factor}, power_cycle], ending(slow | {"factor": 1.0})


def options(fault: str, chance: random.Random) -> Action:
    """The parameters of a fault of a wire."""
    sizes = {"size": chance.randint(1, 9)}
    texts = {"text": chance.choice(("\n", "\r", ";")) if fault == "terminator" else "UNASKED 42"}
    delay_s = chance.uniform(0.001, 0.02) if fault == "split" else chance.uniform(0.1, 3.0)
    known = {**sizes, **texts, "delay_s": delay_s}
    return {name: known[name] for name in FAULTS[fault].parameters}


def ending(action: Action | None = None) -> Callable[[Testbed], None]:
    """What ends a fault; None for one that is over at once."""

    def mend(bed: Testbed) -> None:
        if action is not None:
            bed.act(**action)

    return mend


def once_tripped(action: Action) -> Callable[[Testbed], None]:
    """What ends the cause of a trip; the trip itself ends with the operator's word."""

    def mend(bed: Testbed) -> None:
        until(lambda: (d := bed.alice.device("pump")) and d.state == "tripped", "the pump trips")
        bed.act(**action)

    return mend


def sample(bed: Testbed, figures: Figures) -> None:
    """Notes what each process holds."""
    assert bed.simulator is not None
    held = {"simulator": held_by(bed.simulator.pid)}
    for node in bed.nodes.values():
        status = until(node.status, f"{node.name} answers")
        held[node.name] = {**held_by(status.process_id), "tasks": status.tasks}
    for name, sampled in held.items():
        figures.held.setdefault(name, []).append(sampled)


def held_by(process_id: int) -> dict[str, int]:
    process = Path("/proc", str(process_id))
    told = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if line
    )
    return {
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": int(told["Threads"]),
        "KiB": int(told["VmRSS"].split()[0]),
    }


def assert_bounded(name: str, samples: list[dict[str, int]]) -> None:
    """Nothing grows from round to round: the last rounds hold no more than the first ones did."""
    assert len(samples) >= FEWEST_ROUNDS
    early, late = samples[WARM_UP_ROUNDS : 2 * WARM_UP_ROUNDS], samples[-WARM_UP_ROUNDS:]
    for what in samples[0]:
        before, after = max(s[what] for s in early), min(s[what] for s in late)
        margin = MARGINS[what]
        assert after <= before + margin, f"{name} holds {after} {what}, and held {before}"

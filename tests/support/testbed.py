"""A whole link as its users run it: a simulated table and two nodes, in processes of their own.

The configuration is the demo's, with a quicker warm-up, smaller blocks and a fibre that is nearly
aligned, so that one bring-up takes seconds.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qkd_controller.cli.draw import DrawError, DrawnKey, KeyClient
from qkd_controller.cli.site import DemoNode, DemoSite, build_site
from qkd_controller.config.load import load_node
from qkd_controller.node.operator import StatusUnavailable
from qkd_controller.node.operator_client import read_status as _read_status
from qkd_controller.node.operator_client import rearm_device
from qkd_controller.node.status import DeviceStatus, LinkStatus, NodeStatus

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
ENDS = ("alice", "bob")
PEER = {"alice": "bob", "bob": "alice"}
PATIENCE_S = 60.0
"""For whatever takes a few seconds on a quiet machine."""
_POLL_S = 0.05

T = TypeVar("T")

# What the demo's files say, and what the tests say instead.
_QUICK = {
    "labs/demo.toml": [
        ("thermal_speed = 10.0 ", "thermal_speed = 60.0 "),
        ("crystal_optimum_c = 45.0", "crystal_optimum_c = 28.0"),
        ("rotation_rad = [0.45, 0.50, 0.60]", "rotation_rad = [0.04, 0.05, 0.06]"),
        ("walk_rad_per_sqrt_s = 0.006", "walk_rad_per_sqrt_s = 0.002"),
        ("loss_db = 2.6", "loss_db = 1.2"),
    ],
    "links/demo.toml": [
        ("test_slice_every = 20 ", "test_slice_every = 10 "),
        ("pairs = 172_000", "pairs = 130_000"),
        ("key_bits = 83_000", "key_bits = 62_700"),
        ("test_bits = 14_800", "test_bits = 11_000"),
        ("leakage_budget_bits = 18_500", "leakage_budget_bits = 14_000"),
    ],
    "nodes/demo-alice.toml": [
        ("run_duration_s = 5.0", "run_duration_s = 2.0"),
        ("temperature_c = 45.0", "temperature_c = 28.0"),
        ("settle_s = 0.5", "settle_s = 0.2"),
        ("settle_s = 1.0", "settle_s = 0.2"),
        ("ramp_a_per_s = 0.05", "ramp_a_per_s = 0.2"),
    ],
    "nodes/demo-bob.toml": [
        ("voltages_mv = [0, 0, 0, 0]", "voltages_mv = [120, 0, -80, 0]"),
        ("run_duration_s = 5.0", "run_duration_s = 2.0"),
        ("settle_s = 0.5", "settle_s = 0.2"),
    ],
}


def quick_configs(directory: Path) -> Path:
    """The demo's configuration made quick, as a folder like `configs`."""
    for name, changes in _QUICK.items():
        text = (CONFIGS / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, f"configs/{name} no longer says {old!r}"
            text = text.replace(old, new)
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def until(condition: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """What the condition gives as soon as that is true; AssertionError after within_s."""
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_POLL_S)
    return result


def while_(condition: Callable[[], bool], what: str, for_s: float) -> None:
    """Returns after for_s, in which the condition held whenever it was looked at."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        assert condition(), f"no longer true: {what}"
        time.sleep(_POLL_S)


class Log:
    """The JSON events of one node, over all its restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, kind: str = "", since: int = 0) -> list[dict[str, Any]]:
        """Events of a kind, or all, without the first `since` lines of the file."""
        lines = self._lines()[since:]
        events = [json.loads(line) for line in lines]
        return [event for event in events if not kind or event["event"] == kind]

    def mark(self) -> int:
        """Where the log stands, to be given as `since`."""
        return len(self._lines())

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        # The line being written at this moment is left for the next look.
        return text[: text.rfind("\n") + 1].splitlines()


@dataclass(frozen=True)
class Store:
    """What a node has on its disk, read from a copy."""

    released: dict[int, float]
    """Epsilon of every released block."""
    prepared: tuple[int, ...]
    lines: dict[str, npt.NDArray[np.int16]]
    """Pads and halves of the pool, byte by byte; -1 for a byte that is spent."""

    @property
    def highest(self) -> int:
        return max(self.released, default=0)


class Node:
    """One end: its process, its status, its log, its application."""

    def __init__(self, name: str, site: DemoNode) -> None:
        self.name = name
        self.site = site
        self.directory = site.config.parent
        self.log = Log(self.directory / "node.log")
        self.errors = self.directory / "node.err"
        self.process: subprocess.Popen[bytes] | None = None
        self.started_utc_s = 0.0

    def start(self) -> None:
        """Starts the process; its standard error is appended to node.err."""
        with self.errors.open("ab") as errors:
            self.process = _spawn("qkd_controller.cli.main", errors, "node", self.site.config)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """The exit status of a process that ends by itself."""
        assert self.process is not None
        return self.process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL, whatever it does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kills the process at once and starts it anew."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM, as an operator stops it; its exit status."""
        if self.process is None:
            return 0
        self.thaw()
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()

    def freeze(self) -> None:
        """Makes the process stand still, and so what is on its disk."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Lets the process go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The process stands still inside."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def status(self) -> NodeStatus | None:
        """The node's own snapshot; None while it does not answer."""
        try:
            return asyncio.run(_read_status(self.site.status_socket, 2.0))
        except StatusUnavailable:
            return None

    def link(self) -> LinkStatus | None:
        """The snapshot of its one link; None while it does not answer."""
        status = self.status()
        return status.links[0] if status else None

    def device(self, name: str) -> DeviceStatus | None:
        """What it says of one of its instruments."""
        link = self.link()
        return next((d for d in link.devices if d.name == name), None) if link else None

    def rearm(self, device: str) -> None:
        """The operator's word that the cause of a trip is gone."""
        asyncio.run(rearm_device(self.site.status_socket, device))

    def is_(self, state: str) -> bool:
        """Whether its link is in this state."""
        link = self.link()
        return link is not None and link.state == state

    def metrics(self) -> str:
        """The text of its Prometheus endpoint."""
        address = load_node(self.site.config).telemetry.metrics_address
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def store(self) -> Store:
        """What is on its disk; the process must be frozen or gone."""
        source = self.directory / "state/keys"
        with tempfile.TemporaryDirectory() as copy:
            for name in ("keys.db", "keys.db-wal"):
                if (source / name).exists():
                    shutil.copy(source / name, copy)
            with contextlib.closing(sqlite3.connect(Path(copy) / "keys.db")) as connection:
                return _read_store(connection)


class Testbed:
    """The simulated table and both nodes."""

    __test__ = False

    def __init__(self, site: DemoSite) -> None:
        self.site = site
        self.lab = site.directory / "lab"
        self.simulator: subprocess.Popen[bytes] | None = None
        self.alice = Node("alice", site.nodes["alice"])
        self.bob = Node("bob", site.nodes["bob"])
        self.nodes = {"alice": self.alice, "bob": self.bob}
        self.drawn: list[DrawnKey] = []

    def start_simulator(self) -> None:
        """Starts the table; returns once all its wires are there."""
        errors = (self.site.directory / "sim.err").open("wb")
        with errors:
            self.simulator = _spawn(
                "qkd_firmware_sim.main",
                errors,
                self.site.lab,
                "--dir",
                self.lab,
                stdout=subprocess.PIPE,
            )
        assert self.simulator.stdout is not None
        assert any(line.strip() == b"ready" for line in self.simulator.stdout), "no simulator"

    def start(self) -> None:
        """Starts everything."""
        self.start_simulator()
        for node in self.nodes.values():
            node.start()

    def stop(self) -> None:
        """Stops everything, nodes first."""
        for node in self.nodes.values():
            node.stop()
        if self.simulator is not None:
            self.simulator.terminate()
            self.simulator.communicate(timeout=PATIENCE_S)

    def act(self, do: str, **fields: Any) -> dict[str, Any]:
        """Does something to the table, as `qkd-sim ctl` would."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(self.lab / "control.sock"))
            client.sendall(json.dumps({"do": do, **fields}).encode() + b"\n")
            with client.makefile("rb") as answers:
                answer = dict(json.loads(answers.readline()))
        assert answer["ok"], answer
        return answer

    def table(self) -> dict[str, Any]:
        """The true state of the table."""
        return dict(self.act("status")["status"])

    def released(self) -> list[int]:
        """How many blocks each node says it has released since it started."""
        return [link.blocks_released if (link := n.link()) else 0 for n in self.nodes.values()]

    def until_keying(self, within_s: float = PATIENCE_S) -> None:
        """Returns once both ends say that they make key."""
        for node in self.nodes.values():
            until(lambda node=node: node.is_("keying"), f"{node.name} makes key", within_s)

    def until_released(self, more: int = 1, within_s: float = PATIENCE_S) -> None:
        """Returns once both ends have released so many more blocks."""
        marks = {name: node.log.mark() for name, node in self.nodes.items()}
        for name, node in self.nodes.items():
            until(
                lambda name=name, node=node: (
                    len(node.log.events("block_released", marks[name])) >= more
                ),
                f"{more} more blocks at {name}: {node.link()}",
                within_s,
            )

    def stores(self) -> tuple[Store, Store]:
        """What both ends have on their disks at one moment when no block is in doubt."""

        def look() -> tuple[Store, Store] | None:
            with contextlib.ExitStack() as stack:
                for node in self.nodes.values():
                    if node.alive:
                        stack.enter_context(node.frozen())
                alice, bob = self.alice.store(), self.bob.store()
            settled = not alice.prepared and not bob.prepared and alice.highest == bob.highest
            return (alice, bob) if settled else None

        return until(look, "both ends have released the same blocks")

    def same_keys(self, master: str, number: int, size_bits: int = 256) -> list[DrawnKey]:
        """Keys drawn at one end and fetched by their IDs at the other; they are the same."""
        ours, theirs = asyncio.run(self._draw(master, number, size_bits))
        assert len(ours) == len(theirs) == number
        for own, other in zip(ours, theirs, strict=True):
            assert own.key_id == other.key_id
            assert len(own.key) == len(other.key) == size_bits // 8
            assert own.fingerprint == other.fingerprint
            assert own.key == other.key
        self.drawn += ours
        return ours

    async def _draw(
        self, master: str, number: int, size_bits: int
    ) -> tuple[list[DrawnKey], list[DrawnKey]]:
        here, there = self.nodes[master].site, self.nodes[PEER[master]].site
        async with (
            KeyClient(here.delivery_url, here.application) as at_master,
            KeyClient(there.delivery_url, there.application) as at_slave,
        ):
            ours = await at_master.request_keys(there.sae_id, number, size_bits)
            ids = [key.key_id for key in ours]
            # The other end may be a moment later with the newest block.
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        return ours, await at_slave.request_keys_by_id(here.sae_id, ids)
                    except DrawError as error:
                        if error.status != 503:
                            raise
                        await asyncio.sleep(_POLL_S)

    def sessions(self) -> list[int]:
        """How many sessions each end has begun since the very start."""
        return [len(node.log.events("link_up")) for node in self.nodes.values()]

    def assert_calm(self) -> None:
        """No process died, complained, or had the program itself fail."""
        assert self.simulator is not None
        assert self.simulator.poll() is None
        for node in self.nodes.values():
            assert node.alive, f"{node.name} ended: {node.errors.read_text()}"
            assert node.errors.read_text() == ""
            assert "Traceback" not in node.log.path.read_text()
            assert node.log.events("link_stopped") == []
            assert node.log.events("library") == []


def assert_same_pools(alice: Store, bob: Store) -> None:
    """Both ends have released the same blocks and hold the same bits wherever neither spent them.

    Pads and pools are made of the same released bits, so one wrong or misplaced byte would show.
    """
    assert alice.released == bob.released
    assert alice.lines.keys() == bob.lines.keys() == {"pad0", "pad1", "half0", "half1"}
    for name, own in alice.lines.items():
        other = bob.lines[name]
        assert len(own) == len(other), f"{name} has another length at the other end"
        unspent = (own >= 0) & (other >= 0)
        assert unspent.any(), f"nothing is left of {name}"
        assert np.array_equal(own[unspent], other[unspent]), f"{name} differs"


@contextlib.contextmanager
def set_up(directory: Path, configs: Path | None = None) -> Iterator[Testbed]:
    """A testbed that is set up but not started; at the end everything is stopped."""
    configs = configs or quick_configs(directory / "configs")
    # Fresh ports, since other tests or a demo may run beside this one.
    bed = Testbed(build_site(configs, directory / "site", fresh_ports=True))
    try:
        yield bed
    finally:
        bed.stop()


def qkd(
    *arguments: str | Path, timeout_s: float = PATIENCE_S
) -> "subprocess.CompletedProcess[str]":
    """Runs `qkd` from the outside."""
    return subprocess.run(
        [sys.executable, "-m", "qkd_controller.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _spawn(
    module: str, errors: Any, *arguments: str | Path, stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=errors,
        start_new_session=True,
    )


def _read_store(connection: sqlite3.Connection) -> Store:
    blocks = connection.execute("SELECT number, state, epsilon FROM block").fetchall()
    lines = {}
    for name, end in connection.execute("SELECT name, end FROM line"):
        line = np.full(end, -1, np.int16)
        pieces = connection.execute("SELECT start, bytes FROM piece WHERE line = ?", (name,))
        for start, content in pieces:
            line[start : start + len(content)] = np.frombuffer(content, np.uint8)
        lines[name] = line
    return Store(
        released={n: epsilon for n, state, epsilon in blocks if state == "released"},
        prepared=tuple(n for n, state, _ in blocks if state == "prepared"),
        lines=lines,
    )

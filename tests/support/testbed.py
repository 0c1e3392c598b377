"""A whole link as its users run it: a simulated table and two nodes, in processes of their own.

The configuration is the demo's, with a quicker warm-up, smaller blocks and a fibre that is nearly
aligned, so that one bring-up takes seconds.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed_node import Node, spawn
from testbed_store import Store
from waiting import PATIENCE_S, POLL_S, until

from qkd_controller.cli.draw import DrawError, DrawnKey, KeyClient
from qkd_controller.cli.site import DemoSite, build_site

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
ENDS = ("alice", "bob")
PEER = {"alice": "bob", "bob": "alice"}

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
            self.simulator = spawn(
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
                        await asyncio.sleep(POLL_S)

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

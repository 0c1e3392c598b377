"""A running demo lab on real wires, and its world without any."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qkd_firmware_sim.lab import Lab, load
from qkd_firmware_sim.world import World

DEMO = Path(__file__).parents[2] / "configs" / "labs" / "demo.toml"


@pytest.fixture
def demo_file(tmp_path: Path) -> Path:
    """The demo's lab, with a free port for its one socket: others may run beside this test."""
    text = DEMO.read_text(encoding="utf-8")
    assert "hislip_port = 7410" in text
    path = tmp_path / "demo.toml"
    path.write_text(text.replace("hislip_port = 7410", "hislip_port = 0"), encoding="utf-8")
    return path


@pytest.fixture
def demo(demo_file: Path) -> Lab:
    return load(demo_file)


@pytest.fixture
def world(demo: Lab) -> World:
    return World(demo)


class LabProcess:
    """`qkd-sim` as a process; `addresses` maps names to what it printed."""

    def __init__(self, lab: Path, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qkd_firmware_sim.main", str(lab), "--dir", str(directory)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addresses: dict[str, list[str]] = {}
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                break
            name, address = line.rstrip("\n").split(" ", 1)
            self.addresses.setdefault(name, []).append(address)

    def path(self, name: str) -> str:
        return self.addresses[name][0].removeprefix("serial:")

    def stop(self) -> int:
        self.process.terminate()
        status = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def lab_process(demo_file: Path, tmp_path: Path) -> Iterator[LabProcess]:
    lab = LabProcess(demo_file, tmp_path / "lab")
    try:
        yield lab
    finally:
        lab.stop()

"""The wheel: built apart, installed into an environment of its own, and run there."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from qkd_native.tier import supported

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(1800)]

KERNELS = """
import numpy as np, qkd_native
from qkd_native.bits import BitString
from qkd_native.gf2x import toeplitz_hash
from qkd_native.ldpc import Code, base_rows
from qkd_native.mac import poly_hash
from qkd_native.tier import current
draw = np.random.default_rng(1)
key, amplified = BitString.from_bytes(draw.bytes(1250), 10000), bytearray(625)
toeplitz_hash(key, draw.bytes(1875), amplified)
frame = BitString.of(draw.integers(0, 2, 4096, np.uint8))
parities = Code(4096, base_rows()[0]).parities(frame, 0, 3)
print(current().name, qkd_native.__file__)
print(poly_hash(bytes(16), b"tag").hex(), amplified.hex(), parities.to_bytes().hex())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sources in an environment that pip makes for it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of an environment are that has the wheel.

    What it depends on is lent by this one, by a line of path: that makes no editable install found.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def run(*command: str | Path, **environment: str) -> str:
    """What a command writes, run away from the sources."""
    ran = subprocess.run(
        command, cwd="/", env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_one_wheel_is_for_every_python_from_here_on(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "qkd_native/_kernels.abi3.so" in names
    assert "qkd_native/ldpc_codes.npz" in names
    for package in ("qkd_controller", "qkd_drivers", "qkd_native", "qkd_firmware_sim"):
        assert f"{package}/__init__.py" in names and f"{package}/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "native/"))]


def test_its_kernels_run_in_every_tier_and_agree(programs: Path) -> None:
    answers = []
    for tier in supported():
        told = run(programs / "python", "-c", KERNELS, QKD_KERNELS=tier.name.lower())
        head, answer = told.split("\n", 1)
        ran, where = head.split()
        assert ran == tier.name
        assert Path(where).is_relative_to(programs.parent)
        answers.append(answer)
    assert len(set(answers)) == 1


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("qkd", "--help"), "find, show, set and trace instruments"),
        (("qkd-sim", "--help"), "usage: qkd-sim"),
        (("qkd", "devices", "list"), "s-fifteen"),
    ],
)
def test_its_commands_start(programs: Path, command: tuple[str, ...], says: str) -> None:
    assert says in run(programs / command[0], *command[1:]).lower()

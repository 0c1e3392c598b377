"""A package of somebody else adds a model without a change of ours: installed, listed, used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qkd_drivers.catalogue import ENTRY_POINTS, models

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "third_party"
PAGE = ROOT / "docs" / "instruments" / "writing-a-driver.md"
SUITE = ROOT / "tests" / "drivers" / "contract" / "test_instruments.py"

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def run(*command: object, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has put the package, without a network."""
    folder = tmp_path_factory.mktemp("third-party")
    source = shutil.copytree(PROJECT, folder / "source")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
    target = folder / "target"
    done = run("-m", "pip", "install", *offline, "--target", target, source)
    assert done.returncode == 0, done.stderr
    return target


def test_the_installed_model_is_listed_beside_ours(installed: Path) -> None:
    qkd = Path(sys.executable).with_name("qkd")
    listed = run(qkd, "devices", "list", paths=(installed,))
    assert listed.returncode == 0, listed.stderr
    assert re.search(r"acme-pm1 +power_meter +Acme PM1 +serial", listed.stdout)
    assert "s15-tdc1" in listed.stdout
    assert "acme-pm1" not in run(qkd, "devices", "list").stdout, "it is installed nowhere else"
    assert "acme-pm1" not in models()


def test_the_installed_model_passes_the_contract_suite(installed: Path) -> None:
    paths = (installed, PROJECT / "tests", ROOT / "tests" / "support")
    command = ("-m", "pytest", "-q", "-p", "acme_pm1_bench", "-k", "acme-pm1", SUITE)
    suite = run(*command, paths=paths)
    assert suite.returncode == 0, suite.stdout
    (passed,) = re.findall(r"^(\d+) passed, \d+ deselected", suite.stdout, re.MULTILINE)
    assert int(passed) == len(re.findall(r"^@every_instrument", SUITE.read_text(), re.M)) + 1, (
        "each property once, damaged replies in two ways"
    )


def test_the_installed_model_can_be_configured(installed: Path) -> None:
    code = """
from qkd_controller.config.node import Device
from qkd_controller.devices.set_points import validate_device
def faults(nm):
    return validate_device(Device("meter", "power_meter", "acme-pm1", "serial:/dev/x", "",
                                  {"wavelength_nm": nm}))
assert faults(810.0) == []
(fault,) = faults(1550.0)
assert "meter" in fault and "outside 400" in fault, fault
"""
    done = run("-c", code, paths=(installed,))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("Model('s15-tdc1', 'tagger', '', (), 'x:Y')", "there is a model s15-tdc1 already"),
        ("'no model'", "is no Model"),
        ("1 / 0", "division by zero"),
    ],
)
def test_a_package_that_cannot_be_used_is_told_by_name(
    tmp_path: Path, model: str, told: str
) -> None:
    (tmp_path / "odd.py").write_text(f"from qkd_drivers.catalogue import Model\nMODEL = {model}\n")
    described = tmp_path / "odd-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nodd = odd:MODEL\n")
    done = run("-c", "from qkd_drivers.catalogue import models; models()", paths=(tmp_path,))
    assert done.returncode == 1 and told in done.stderr and "entry point odd" in done.stderr
    qkd = Path(sys.executable).with_name("qkd")
    for command in (("list",), ("scan", "--host", "127.0.0.1:1")):
        listed = run(qkd, "devices", *command, paths=(tmp_path,))
        (line,) = listed.stderr.splitlines()
        assert listed.returncode == 1 and line.startswith("qkd: entry point odd")
        assert told in line and line.endswith("; mend or remove that package")


@pytest.mark.parametrize("name", ["pyproject.toml", "acme_pm1.py", "tests/acme_pm1_bench.py"])
def test_the_page_shows_the_package_that_is_tested(name: str) -> None:
    assert (PROJECT / name).read_text() in PAGE.read_text()

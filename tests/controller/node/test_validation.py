"""`qkd check`: a node file and all it names, with every fault at once."""

from pathlib import Path

import pytest

from qkd_controller.cli.main import main
from qkd_controller.cli.site import DemoSite, build_site
from qkd_controller.config.errors import ConfigError
from qkd_controller.node.validation import validate

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def site(tmp_path: Path) -> DemoSite:
    return build_site(CONFIGS, tmp_path / "site")


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(path)
    return caught.value.faults


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_demo_is_sound_and_says_what_a_block_gives(
    site: DemoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in site.nodes.values():
        assert validate(node.config).released_bits[0] > 10_000
        assert main(["check", str(node.config)]) == 0
    assert "bits of key" in capsys.readouterr().out


def test_faults_of_all_files_come_together(
    site: DemoSite, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = site.nodes["alice"].config
    change(alice, 'model = "s15-tdc1"', 'model = "s15-tdc9"')
    change(alice, "bias_voltage_v = 195.0", "bias_voltage_v = -1.0")
    change(alice, 'certificate = "../pki/node-alice.pem"', 'certificate = "../pki/node-bob.pem"')
    change(alice, 'basis = "x", bit = 1', 'basis = "x", bit = 0')
    change(site.directory / "link.toml", "test_slice_every = 20", "test_slice_every = 1")
    change(site.directory / "link.toml", 'listener = "alice"', 'listener = "eve"')
    found = faults(alice)
    for expected in (
        "s15-tdc9",
        "bias_voltage_v",
        "is of node bob, not of node alice",
        "no channel for x1",
        "test_slice_every",
        "roles.listener",
    ):
        assert any(expected in fault for fault in found), expected
    assert main(["check", str(alice)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == len(found)


def test_demo_certificates_are_refused_beyond_loopback(site: DemoSite) -> None:
    bob = site.nodes["bob"].config
    text = bob.read_text()
    bob.write_text(text.replace('address = "127.0.0.1:', 'address = "0.0.0.0:'))
    found = faults(bob)
    assert sum("demonstrations" in fault for fault in found) >= 2


def test_a_plan_that_leaves_no_key_is_a_fault(site: DemoSite) -> None:
    change(
        site.directory / "link.toml", "qber_tolerance_ratio = 0.045", "qber_tolerance_ratio = 0.2"
    )
    assert any("leave no key" in fault for fault in faults(site.nodes["alice"].config))


def test_a_key_that_others_can_read_is_a_fault(site: DemoSite) -> None:
    (site.directory / "pki/node-alice.key").chmod(0o644)
    assert any("chmod 600" in fault for fault in faults(site.nodes["alice"].config))


def test_runs_too_short_for_a_test_slice_are_a_fault(site: DemoSite) -> None:
    """Only the end that counts the slices is bound: the runs of the other end have no slices."""
    for name, bound in (("alice", True), ("bob", False)):
        config = site.nodes[name].config
        change(config, "run_duration_s = 5.0", "run_duration_s = 2.0")
        if bound:
            (fault,) = faults(config)
            assert "run_duration_s" in fault
            assert "test slice" in fault
        else:
            validate(config)

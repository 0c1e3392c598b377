"""The commands as an operator meets them."""

import os
import re
from pathlib import Path

import pytest
from testbed import CONFIGS, Testbed, qkd, quick_configs
from waiting import PATIENCE_S, until

from qkd_controller.config.load import load_node


def test_check_lists_every_error_at_once(cold_bed: Testbed) -> None:
    """Faults of the node file, of its devices, its certificates and its link file, in one go."""
    node = cold_bed.alice.site.config
    assert qkd("check", node).returncode == 0
    change(node, "../pki/node-alice.key", "../pki/lost.key")
    change(node, 'kme_id = "kme-alice"', 'kme_id = "kme-alice"\nmax_key_bits = 60')
    change(node, "bias_voltage_v = 195.0, threshold_v = 0.2", "bias_voltage_v = 1e4")
    change(node, 'address = "serial:../lab/oven"', 'address = "usb:oven"')
    change(cold_bed.site.directory / "link.toml", 'listener = "alice"', 'listener = "carol"')
    checked = qkd("check", node)
    assert checked.returncode == 1
    assert checked.stdout == ""
    lines = checked.stderr.splitlines()
    for wanted in (
        "tls.key",
        "max_key_bits",
        "bias_voltage_v",
        "threshold_v",
        "usb:oven",
        "roles.listener",
    ):
        assert any(wanted in line for line in lines), (wanted, lines)
    assert all(line.startswith("qkd: ") for line in lines)
    assert "Traceback" not in checked.stderr
    # A node refuses in the same words.
    cold_bed.alice.start()
    assert cold_bed.alice.wait() == 1
    assert cold_bed.alice.errors.read_text().splitlines() == lines


def test_status_of_a_dead_node_is_one_line(cold_bed: Testbed) -> None:
    """Before it ran, and after it was killed and left its socket behind."""
    alice = cold_bed.alice
    for killed in (False, True):
        if killed:
            alice.start()
            until(alice.status, "alice answers")
            alice.kill()
            assert alice.site.status_socket.is_socket()
        for target in (alice.site.config, alice.site.status_socket):
            status = qkd("status", target)
            assert status.returncode == 1
            assert status.stdout == ""
            (line,) = status.stderr.splitlines()
            assert str(alice.site.status_socket) in line
            assert "is `qkd node` running?" in line


def test_status_of_a_living_node(cold_bed: Testbed) -> None:
    """A table, or the whole snapshot; on a socket for this user alone."""
    alice = cold_bed.alice
    alice.start()
    until(alice.status, "alice answers")
    assert alice.site.status_socket.stat().st_mode & 0o777 == 0o600
    table = qkd("status", alice.site.config)
    assert table.returncode == 0
    assert "alice" in table.stdout
    assert "spd-1" in table.stdout
    snapshot = qkd("status", "--json", alice.site.config)
    assert snapshot.returncode == 0
    assert '"node": "alice"' in snapshot.stdout


def test_a_second_node_on_the_same_state_is_refused(cold_bed: Testbed) -> None:
    """Two writers would spend the same pad; the first one is not disturbed."""
    alice = cold_bed.alice
    alice.start()
    until(alice.status, "alice answers")
    second = qkd("node", alice.site.config)
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert "in use by another process" in line
    assert alice.status() is not None
    assert alice.stop() == 0


@pytest.mark.parametrize("setting", ["links", "delivery", "metrics"])
def test_demo_certificates_stay_on_loopback(cold_bed: Testbed, setting: str) -> None:
    """A node with them refuses to listen anywhere else, naming the setting."""
    config = cold_bed.alice.site.config
    node = load_node(config)
    name, address = {
        "links": ("links[0].address", node.links[0].address),
        "delivery": ("delivery.address", node.delivery.address),
        "metrics": ("telemetry.metrics_address", node.telemetry.metrics_address),
    }[setting]
    change(config, f'"{address}"', f'"0.0.0.0:{address.rpartition(":")[2]}"')
    refused = qkd("node", config)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert name in line
    assert "demonstration" in line
    assert "0.0.0.0" in line


def test_the_demo_ends_with_keys(tmp_path: Path) -> None:
    """It makes its site, runs for its time, draws keys that match, and leaves nothing running."""
    run_demo(quick_configs(tmp_path / "configs"), tmp_path / "demo", duration_s=20)


def test_a_demo_without_keys_fails(tmp_path: Path) -> None:
    """Exit status 0 is kept for keys that were made and matched."""
    directory = tmp_path / "demo"
    configs = quick_configs(tmp_path / "configs")
    demo = qkd("demo", "--configs", configs, "--dir", directory, "--duration", "1")
    assert demo.returncode == 1
    assert demo.stderr.splitlines() == [f"no key within 1 s; see {directory}/*/node.log"]
    assert not running(directory)


@pytest.mark.soak
def test_the_shipped_demo_makes_key_within_a_minute(tmp_path: Path) -> None:
    """The demo as it is shipped, with its warm-up and its misaligned fibre."""
    run_demo(CONFIGS, tmp_path / "demo", duration_s=75)


def run_demo(configs: Path, directory: Path, duration_s: int) -> None:
    demo = qkd(
        *("demo", "--configs", configs, "--dir", directory, "--duration", str(duration_s)),
        timeout_s=duration_s + 2 * PATIENCE_S,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    drawn = re.search(
        r"^(\d+) keys? drawn at both ends, (all|and it) matched$", demo.stdout, re.MULTILINE
    )
    assert drawn
    assert int(drawn[1]) >= 1
    shown = re.findall(
        r"fingerprint ([0-9a-f]{16}) at alice, *\n?([0-9a-f]{16}) at bob", demo.stdout
    )
    assert shown
    assert all(ours == theirs for ours, theirs in shown)
    for name in ("alice", "bob"):
        assert (directory / name / "node.err").read_text() == ""
    assert directory.stat().st_mode & 0o777 == 0o700
    secrets = [directory / "pki/ca.key", *directory.glob("*/state/keys/*")]
    assert len(secrets) > 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    assert not running(directory)


def running(directory: Path) -> list[str]:
    """Processes that name this directory in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(directory) in arguments:
                found.append(arguments.decode(errors="replace"))
    return found


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))

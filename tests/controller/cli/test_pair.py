"""qkd pair: a secret is made once, imported at each end, and erased by the import."""

import argparse
import shutil
from pathlib import Path

import pytest

from qkd_controller.cli import pair
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.load import load_link
from qkd_controller.keys.contract import Direction
from qkd_controller.keys.errors import PairingError, StoreError
from qkd_controller.keys.link_store import open_link
from qkd_controller.keys.store import KeyStore

LINK = """
name = "{name}"
protocol = "bbm92"
nodes = ["{first}", "bob"]
[roles]
listener = "{first}"
commit_leader = "{leader}"
time_reference = "bob"
bit_reference = "bob"
[block]
pairs = 100000
key_basis = "z"
key_bits = 40000
test_bits = 8000
qber_tolerance_ratio = 0.05
leakage_budget_bits = 20000
"""

NODE = """
name = "{name}"
state_dir = "state-{name}"
[tls]
ca = "ca.pem"
certificate = "{name}.pem"
key = "{name}.key"
[[links]]
link_file = "{link}"
address = "127.0.0.1:7000"
channels = []
devices = []
[delivery]
address = "127.0.0.1:0"
kme_id = "kme-{name}"
peer_kme_id = "other"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for link, name, first, leader in (
        ("link", "fibre-1", "alice", "alice"),
        ("other-name", "fibre-2", "alice", "alice"),
        ("other-nodes", "fibre-1", "carol", "bob"),
        ("other-leader", "fibre-1", "alice", "bob"),
    ):
        text = LINK.format(name=name, first=first, leader=leader)
        (tmp_path / f"{link}.toml").write_text(text)
    for name in ("alice", "bob"):
        (tmp_path / f"{name}.toml").write_text(NODE.format(name=name, link="link.toml"))
    return tmp_path


def command(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    pair.add_parser(parser.add_subparsers())
    args = parser.parse_args(["pair", *map(str, arguments)])
    result = args.run(args)
    assert isinstance(result, int)
    return result


def test_both_ends_import_the_same_secret_and_both_copies_vanish(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, copy = site / "pairing", site / "copy"
    assert command("new", site / "link.toml", "--out", file) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size > 2 << 20
    shutil.copy(file, copy)
    assert command("import", file, "--node", site / "alice.toml") == 0
    assert command("import", copy, "--node", site / "bob.toml") == 0
    assert not file.exists() and not copy.exists()
    assert "may still hold its content" in capsys.readouterr().out
    link = load_link(site / "link.toml")
    with KeyStore(site / "state-alice") as a, KeyStore(site / "state-bob") as b:
        alice, bob = open_link(a, link, "alice"), open_link(b, link, "bob")
        assert alice.pairing_keys() == bob.pairing_keys()
        for direction in Direction:
            assert alice.pad_end(direction) == 1 << 20
            cursor, pad = alice.take_pad(direction, 99)
            assert bob.read_pad(direction, cursor, 99) == pad


def test_new_refuses_to_overwrite_and_odd_sizes(site: Path) -> None:
    command("new", site / "link.toml", "--out", site / "pairing", "--pad-mib", "2")
    before = (site / "pairing").read_bytes()
    assert len(before) > 4 << 20
    with pytest.raises(PairingError, match="exists already"):
        command("new", site / "link.toml", "--out", site / "pairing")
    assert (site / "pairing").read_bytes() == before
    with pytest.raises(PairingError, match="--pad-mib"):
        command("new", site / "link.toml", "--out", site / "x", "--pad-mib", "0")
    with pytest.raises(ConfigError):
        command("new", site / "missing.toml", "--out", site / "x")
    assert not (site / "x").exists()


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("other-name", "is of link fibre-2, which node alice does not have"),
        ("other-nodes", "between carol and bob"),
        ("other-leader", "commit leader bob"),
    ],
)
def test_a_file_of_another_link_is_refused_and_kept(site: Path, link: str, message: str) -> None:
    command("new", site / f"{link}.toml", "--out", site / "pairing")
    before = (site / "pairing").read_bytes()
    with pytest.raises(PairingError, match=message):
        command("import", site / "pairing", "--node", site / "alice.toml")
    assert (site / "pairing").read_bytes() == before


def test_a_damaged_file_is_refused_and_kept(site: Path) -> None:
    file = site / "pairing"
    command("new", site / "link.toml", "--out", file)
    content = bytearray(file.read_bytes())
    content[1 << 20] ^= 1
    file.write_bytes(content)
    with pytest.raises(PairingError, match="damaged"):
        command("import", file, "--node", site / "alice.toml")
    assert file.read_bytes() == content


def test_a_running_node_is_not_paired_behind_its_back(site: Path) -> None:
    command("new", site / "link.toml", "--out", site / "pairing")
    with (
        KeyStore(site / "state-alice"),
        pytest.raises(StoreError, match="in use by another process"),
    ):
        command("import", site / "pairing", "--node", site / "alice.toml")
    assert (site / "pairing").exists()


def test_a_copy_that_cannot_be_erased_is_reported(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    command("new", site / "link.toml", "--out", site / "pairing")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PairingError, match=r"is paired now, but .* still holds the secret"):
        command("import", site / "pairing", "--node", site / "alice.toml")


def test_a_second_import_needs_replace_and_a_new_secret(site: Path) -> None:
    file, copy, new = site / "pairing", site / "copy", site / "new"
    command("new", site / "link.toml", "--out", file)
    shutil.copy(file, copy)
    command("new", site / "link.toml", "--out", new)
    node = ("--node", site / "alice.toml")
    command("import", file, *node)
    with pytest.raises(PairingError, match="imported here before"):
        command("import", copy, *node, "--replace")
    with pytest.raises(PairingError, match="paired already"):
        command("import", new, *node)
    assert copy.exists() and new.exists()
    assert command("import", new, *node, "--replace") == 0
    assert not new.exists()

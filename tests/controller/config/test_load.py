"""Configuration files: every fault is reported at once, by its dotted name."""

from pathlib import Path

import pytest

from qkd_controller.config.digest import field_digests, link_digest
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.link_check import link_faults
from qkd_controller.config.load import load_link, load_node, read_link

CONFIGS = Path(__file__).parents[3] / "configs"
DEMO_LINK = (CONFIGS / "links/demo.toml").read_text()


def faults_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "link.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_link(path)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_the_shipped_files_load_without_fault() -> None:
    link = load_link(CONFIGS / "links/demo.toml")
    assert link_faults(read_link(CONFIGS / "links/demo.toml").parts) == []
    for name in link.nodes:
        assert load_node(CONFIGS / f"nodes/demo-{name}.toml").name == name


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = DEMO_LINK.replace("slice_ms = 100", 'slice_ms = "long"')
    text = text.replace("key_bits =", "key_bit =").replace('listener = "alice"', "listener = 1")
    faults = faults_of(tmp_path, text)
    assert len(faults) == 4
    assert any("timing.slice_ms" in fault for fault in faults)
    assert any("roles.listener" in fault for fault in faults)
    assert "block.key_bit: no such setting; did you mean key_bits?" in faults
    assert "block.key_bits: missing" in faults


@pytest.mark.parametrize(
    ("text", "said"),
    [("name = ", "not TOML"), ("", "name: missing"), ("roles = 3", "roles: expected a table")],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in fault for fault in faults_of(tmp_path, text))


def test_a_missing_file_is_one_clear_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_link(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('commit_leader = "alice"', 'commit_leader = "eve"', "roles.commit_leader"),
        ("pairs = 172_000", "pairs = 1000", "block.pairs"),
        ("qber_tolerance_ratio = 0.045", "qber_tolerance_ratio = 0.7", "qber_tolerance_ratio"),
        ("dead_time_ps = 60_000", "dead_time_ps = 6_000", "timing.dead_time_ps"),
        ("test_slice_every = 20", "test_slice_every = 1", "timing.test_slice_every"),
        ("pad_refill_bits = 2048", "pad_refill_bits = 512", "block.pad_refill_bits"),
        ("alarm_above_qber_ratio = 0.045", "alarm_above_qber_ratio = 0.01", "alignment"),
    ],
)
def test_rules_across_fields(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in DEMO_LINK
    path = tmp_path / "link.toml"
    path.write_text(DEMO_LINK.replace(old, new))
    assert any(said in fault for fault in link_faults(read_link(path).parts))


def test_a_differing_field_changes_the_digest_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "link.toml"
    path.write_text(DEMO_LINK.replace("slice_ms = 100", "slice_ms = 50"))
    here, there = load_link(CONFIGS / "links/demo.toml"), load_link(path)
    assert link_digest(here) != link_digest(there)
    ours, theirs = field_digests(here), field_digests(there)
    assert {name for name in ours if ours[name] != theirs[name]} == {"timing.slice_ms"}


def test_what_is_sound_in_a_faulty_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "link.toml"
    path.write_text(DEMO_LINK.replace("slice_ms = 100", 'slice_ms = "long"'))
    read = read_link(path)
    assert read.value is None
    assert len(read.faults) == 1
    assert read.parts["timing.max_offset_ms"] == 100
    assert read.parts["roles"] == load_link(CONFIGS / "links/demo.toml").roles
    assert not {"", "timing", "timing.slice_ms"} & read.parts.keys()


def test_settings_that_are_not_given_are_parts_too(tmp_path: Path) -> None:
    path = tmp_path / "link.toml"
    path.write_text(DEMO_LINK.partition("[alignment]")[0].replace("slice_ms = 100", ""))
    read = read_link(path)
    assert read.faults == []
    assert read.parts["timing.slice_ms"] == 100
    assert read.parts["alignment.probe_timeout_s"] == 10.0


def test_relative_paths_start_at_the_folder_of_the_file() -> None:
    node = load_node(CONFIGS / "nodes/demo-alice.toml")
    assert Path(node.state_dir) == CONFIGS / "nodes/state"
    assert node.links[0].devices[0].address == f"serial:{CONFIGS}/nodes/../lab/alice-tagger"


def test_the_path_of_a_recording_starts_at_the_folder_of_the_file(tmp_path: Path) -> None:
    text = (CONFIGS / "nodes/demo-alice.toml").read_text()
    (tmp_path / "node.toml").write_text(
        text.replace('"serial:../lab/alice-tagger"', '"file:runs/*.ptu?speed=2"')
    )
    device = load_node(tmp_path / "node.toml").links[0].devices[0]
    assert device.address == f"file:{tmp_path}/runs/*.ptu?speed=2"

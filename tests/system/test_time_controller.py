"""The link with a time controller over ZeroMQ in place of one end's serial tagger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed import Testbed, quick_configs, set_up
from testbed_store import assert_same_pools
from waiting import until

_CHANGES = {
    "labs/demo.toml": (
        'name = "bob-tagger"\nmodel = "s15-tdc1"',
        'name = "bob-tagger"\nmodel = "idq-id900"\nzmtp_port = 7416\nservice_port = 7417',
    ),
    "nodes/demo-bob.toml": (
        'model = "s15-tdc1"\naddress = "serial:../lab/bob-tagger"',
        'model = "idq-id900"\naddress = "zeromq:127.0.0.1:7416?service=127.0.0.1:7417"',
    ),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """Alice with a TDC1, Bob with an ID900; the link has made its first block."""
    directory = tmp_path_factory.mktemp("mixed")
    configs: Path = quick_configs(directory / "configs")
    for name, (old, new) in _CHANGES.items():
        text = (configs / name).read_text(encoding="utf-8")
        assert old in text
        (configs / name).write_text(text.replace(old, new), encoding="utf-8")
    with set_up(directory, configs) as bed:
        bed.start()
        bed.until_keying()
        bed.until_released()
        yield bed


def test_unlike_taggers_make_the_same_key(mixed: Testbed) -> None:
    """The times of a run begin when they begin, the steps are what they are: the key is one."""
    for master in mixed.nodes:
        mixed.same_keys(master, number=2, size_bits=1024)
    assert_same_pools(*mixed.stores())


def test_tags_lost_in_the_box_make_their_run_unsafe(mixed: Testbed) -> None:
    """What the box counts as dropped costs the whole run, and nothing else."""
    mark = mixed.bob.log.mark()
    mixed.act("overflow", device="bob-tagger")
    (run, *_) = until(lambda: mixed.bob.log.events("run_unsafe", mark), "the run is unsafe")
    assert "dropped tags" in run["cause"]
    mixed.until_released()


def test_a_restarted_box_is_driven_back_to_its_settings(mixed: Testbed) -> None:
    """Cut off, switched off and on with all settings lost: found again, set again, key again."""
    mixed.act("wire", device="bob-tagger", fault="cut")
    until(lambda: mixed.bob.device("tagger").state != "ready", "the loss is told")
    mixed.act("reset", device="bob-tagger")
    mixed.act("wire", device="bob-tagger", fault="restore")
    until(lambda: mixed.bob.device("tagger").state == "ready", "the tagger is back")
    mixed.until_released()
    assert_same_pools(*mixed.stores())

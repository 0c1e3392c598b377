"""The event log: one JSON line an event, and no place for key material."""

import json
from pathlib import Path

import pytest

from qkd_controller.config.errors import ConfigError
from qkd_controller.telemetry.events import EventLog


def test_each_event_is_one_json_line(tmp_path: Path) -> None:
    log = EventLog("alice", str(tmp_path / "node.log"))
    log.emit("link_state", link="demo", state="keying", cause='a "quoted"\ncause')
    log.warn("device", up=False)
    log.close()
    first, second = (tmp_path / "node.log").read_text().splitlines()
    assert json.loads(first)["cause"] == 'a "quoted"\ncause'
    assert json.loads(first)["node"] == "alice"
    assert json.loads(second)["level"] == "warning"
    assert [event["event"] for event in log.latest] == ["link_state", "device"]


@pytest.mark.parametrize("secret", [b"key", bytearray(b"key"), memoryview(b"key"), object()])
def test_bytes_are_refused_wherever_they_hide(tmp_path: Path, secret: object) -> None:
    log = EventLog("alice", str(tmp_path / "node.log"))
    with pytest.raises(TypeError, match="does not belong in a log"):
        log.emit("oops", nested=[{"deep": secret}])
    log.close()
    assert (tmp_path / "node.log").read_text() == ""


def test_an_unwritable_log_is_a_configuration_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"telemetry\.log_file"):
        EventLog("alice", str(tmp_path / "file" / "node.log"))

"""The event log: one JSON line an event, and no place for key material."""

import json
import stat
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


def test_a_new_log_is_for_this_user_alone(tmp_path: Path) -> None:
    EventLog("alice", str(tmp_path / "node.log")).close()
    assert stat.S_IMODE((tmp_path / "node.log").stat().st_mode) == 0o600


def test_an_unexpected_error_is_kept_with_its_trace(tmp_path: Path) -> None:
    log = EventLog("alice", str(tmp_path / "node.log"))
    try:
        raise KeyError("lost")
    except KeyError as error:
        log.fail(error)
    log.close()
    event = json.loads((tmp_path / "node.log").read_text())
    assert event["event"] == "failed"
    assert event["error"] == "KeyError"
    assert any("test_events.py" in line for line in event["trace"])


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

"""The audit log: every line follows the one before it, and is on the disk."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.telemetry.audit import FILE_NAME, AuditError, AuditLog, verify


def written(folder: Path, lines: int) -> Path:
    log = AuditLog(folder, "alice")
    for i in range(lines):
        log.record("set", os.getuid(), device="pump", changes={"current_a": {"to": i / 100}})
    log.close()
    return folder / FILE_NAME


def test_a_line_says_who_when_where_and_what(tmp_path: Path) -> None:
    """One JSON object a line, in a file for this user alone."""
    path = written(tmp_path, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first["utc"].endswith("+00:00")
    assert (first["node"], first["user_id"], first["action"]) == ("alice", os.getuid(), "set")
    assert first["user"]
    assert second["changes"] == {"current_a": {"to": 0.01}}
    assert second["previous"] != first["previous"]


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A log opened again continues where it stood."""
    written(tmp_path, 3)
    path = written(tmp_path, 2)
    count, last = verify(tmp_path)
    assert count == 5
    log = AuditLog(tmp_path, "alice")
    log.record("rearm", 0)
    log.close()
    assert json.loads(path.read_text().splitlines()[-1])["previous"] == last


@given(data=st.data())
def test_no_line_but_the_last_can_be_altered_cut_out_or_moved(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any edit that leaves the last line as it was is found."""
    folder = tmp_path_factory.mktemp("log")
    path = written(folder, 5)
    lines = path.read_bytes().splitlines(keepends=True)
    at = data.draw(st.integers(0, 3))
    match data.draw(st.sampled_from(["alter", "cut", "swap", "repeat"])):
        case "alter":
            where = data.draw(st.integers(0, len(lines[at]) - 2))
            changed = lines[at][where] ^ data.draw(st.sampled_from([1, 2, 4]))
            lines[at] = lines[at][:where] + bytes([changed]) + lines[at][where + 1 :]
        case "cut":
            del lines[at]
        case "swap":
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        case "repeat":
            lines.insert(at, lines[at])
    path.write_bytes(b"".join(lines))
    with pytest.raises(AuditError):
        verify(folder)


def test_a_line_torn_by_a_crash_stays_and_is_vouched_for(tmp_path: Path) -> None:
    """What a crash left is neither hidden nor in the way."""
    path = written(tmp_path, 2)
    with path.open("ab") as file:
        file.write(b'{"utc": "2026')
    with pytest.raises(AuditError, match="line 3, the last, is torn"):
        verify(tmp_path)
    written(tmp_path, 1)
    assert verify(tmp_path)[0] == 4
    path.write_bytes(path.read_bytes().replace(b'{"utc": "2026\n', b'{"utc": "2027\n'))
    with pytest.raises(AuditError, match="line 4"):
        verify(tmp_path)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The error says so, the file is what it was, and later lines follow on."""
    path = written(tmp_path, 1)
    before = path.read_bytes()
    log = AuditLog(tmp_path, "alice")
    whole = os.write

    def full(*arguments: Any) -> int:
        if call == "write":
            whole(arguments[0], arguments[1][:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(AuditError, match="No space left"):
            log.record("set", 0)
    assert path.read_bytes() == before
    log.record("set", 0)
    log.close()
    assert verify(tmp_path)[0] == 2


def test_a_log_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """One clear error, with the path."""
    with pytest.raises(AuditError, match=r"audit\.jsonl"):
        AuditLog(tmp_path / "absent", "alice")
    with pytest.raises(AuditError, match=r"audit\.jsonl"):
        verify(tmp_path)


@pytest.mark.parametrize("line", [b"3", b"[]", b'{"previous": 3}', b"\xff\x00", b"[" * 100_000])
def test_a_line_that_was_never_written_is_found(tmp_path: Path, line: bytes) -> None:
    """In the middle of the log, and at its end."""
    path = written(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    for at in (1, 3):
        path.write_bytes(b"".join([*lines[:at], line + b"\n", *lines[at:]]))
        with pytest.raises(AuditError, match=r"audit\.jsonl: line \d"):
            verify(tmp_path)


def test_a_log_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="there is none; a node makes one when it is started"):
        verify(tmp_path)
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(AuditError, match="Is a directory"):
        verify(tmp_path)

"""Nothing is done for an operator that is not recorded first."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qkd_controller.devices import ChangeKept
from qkd_controller.node.auditing import Auditor
from qkd_controller.node.operator import RequestDeclined
from qkd_controller.telemetry.audit import FILE_NAME, AuditError, AuditLog
from qkd_controller.telemetry.events import EventLog


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    log = AuditLog(tmp_path, "alice")
    yield log
    log.close()


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog("alice", str(tmp_path / "node.log"))
    yield log
    log.close()


async def outcomes(tmp_path: Path, auditor: Auditor, raised: Exception | None) -> list[str]:
    with contextlib.suppress(RequestDeclined, RuntimeError):
        async with auditor.asked("set", 1000, device="pump"):
            if raised is not None:
                raise raised
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    return [json.loads(line)["outcome"] for line in lines]


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, "done"),
        (RequestDeclined("current_a = 9: over 0.08"), "declined: current_a = 9: over 0.08"),
        (RuntimeError("a bug"), "interrupted"),
    ],
)
async def test_what_was_asked_and_what_came_of_it_are_both_recorded(
    tmp_path: Path, audit: AuditLog, events: EventLog, raised: Exception | None, outcome: str
) -> None:
    """Two lines, and an event with the hash of each."""
    assert await outcomes(tmp_path, Auditor(audit, events), raised) == ["asked", outcome]
    assert [len(event["audit_sha256"]) for event in events.latest] == [64, 64]


async def test_what_is_kept_for_later_has_a_record_of_what_became_of_it(
    tmp_path: Path, audit: AuditLog, events: EventLog
) -> None:
    auditor = Auditor(audit, events)
    kept = ChangeKept("pump is away", asyncio.get_running_loop().create_future())
    with pytest.raises(ChangeKept):
        async with auditor.asked("set", 1000, device="pump"):
            raise kept
    kept.fate.set_result("applied")
    await auditor.fate(kept, "set", 1000, device="pump")
    lines = [json.loads(line) for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["asked", "kept: pump is away", "applied"]
    assert all(line["device"] == "pump" and line["user_id"] == 1000 for line in lines)


async def test_a_full_disk_refuses_what_is_asked(
    audit: AuditLog, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator is told why, and nothing is done."""

    def full(*_: Any, **__: Any) -> str:
        raise AuditError("audit log: No space left on device")

    monkeypatch.setattr(audit, "record", full)
    done = False
    with pytest.raises(RequestDeclined, match=r"nothing was changed.*No space left"):
        async with Auditor(audit, events).asked("set", 1000, device="pump"):
            done = True
    assert not done
    assert events.latest[-1]["event"] == "audit_failed"

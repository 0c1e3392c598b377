"""What an operator asks of the node is recorded before it is done, and its outcome after.

What is kept for later has one more record: what became of it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from qkd_controller.devices import ChangeKept
from qkd_controller.node.operator import RequestDeclined
from qkd_controller.telemetry.audit import AuditError, AuditLog
from qkd_controller.telemetry.events import EventLog


class Auditor:
    """Writes to the audit log, and tells the event log the hash of each line."""

    def __init__(self, audit: AuditLog, log: EventLog) -> None:
        self._audit = audit
        self._log = log

    @contextlib.asynccontextmanager
    async def asked(self, action: str, user_id: int, **fields: Any) -> AsyncIterator[None]:
        """What happens inside is on the disk before it begins, and so is its outcome.

        Raises RequestDeclined, with nothing done, if it cannot be recorded.
        """
        await self._record(action, user_id, "asked", fields)
        outcome = "interrupted"
        try:
            yield
            outcome = "done"
        except RequestDeclined as declined:
            outcome = f"declined: {declined}"
            raise
        except ChangeKept as kept:
            outcome = f"kept: {kept}"
            raise
        finally:
            await self._record(action, user_id, outcome, fields)

    async def fate(self, kept: ChangeKept, action: str, user_id: int, **fields: Any) -> None:
        """Waits until it is known what became of a change that was kept, and records that."""
        outcome = await kept.fate
        with contextlib.suppress(RequestDeclined):  # the event log tells that it is not recorded
            await self._record(action, user_id, outcome, fields)

    async def _record(
        self, action: str, user_id: int, outcome: str, fields: dict[str, Any]
    ) -> None:
        told = {**fields, "outcome": outcome}
        try:
            line = await asyncio.to_thread(self._audit.record, action, user_id, **told)
        except AuditError as error:
            self._log.warn("audit_failed", cause=str(error), action=action, **told)
            what = "nothing was changed" if outcome == "asked" else f"the outcome was: {outcome}"
            raise RequestDeclined(f"{what}, for it cannot be recorded: {error}") from error
        self._log.emit("operator", action=action, user_id=user_id, audit_sha256=line, **told)

"""Who changed what: an append-only file in which no line can be altered or cut out unseen.

Each line is a JSON object with the SHA-256 of the line before it. Whoever can write the file can
also write it anew from the first altered line on, or cut its end off; that shows against the hash
of a later line kept elsewhere, so the event log tells the hash of each.
"""

import contextlib
import hashlib
import json
import os
import pwd
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qkd_controller.config.errors import QkdError

FILE_NAME = "audit.jsonl"
"""In the node's state directory."""
FIRST = "0" * 64
"""What the first line has for the hash of the line before it."""


class AuditError(QkdError):
    """The audit log cannot be kept, or is not what was written."""


class AuditLog:
    """The audit log of one node; a new file is for this user alone. Safe between threads."""

    def __init__(self, state_dir: Path, node: str) -> None:
        self._path = state_dir / FILE_NAME
        self._node = node
        self._mutex = threading.Lock()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            content = self._path.read_bytes()
            if content and not content.endswith(b"\n"):
                # A crash tore the last line. It stays, and the next line vouches for it.
                os.write(self._file, b"\n")
        except OSError as error:
            raise AuditError(f"audit log {self._path}: {error.strerror}") from None
        lines = content.splitlines()
        self._last = _hash(lines[-1]) if lines else FIRST

    def record(self, action: str, user_id: int, **fields: Any) -> str:
        """Writes one line, on the disk when this returns; its hash.

        Blocks for as long as the disk takes. Raises AuditError if it cannot be written; then
        nothing of it stands in the file.
        """
        with self._mutex:
            entry = {
                "utc": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
                "node": self._node,
                "user_id": user_id,
                "user": _user_name(user_id),
                "action": action,
                **fields,
                "previous": self._last,
            }
            line = json.dumps(entry, allow_nan=False).encode()
            try:
                self._append(line + b"\n")
            except OSError as error:
                raise AuditError(f"audit log {self._path}: {error.strerror}") from None
            self._last = _hash(line)
            return self._last

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            raise


def verify(state_dir: Path) -> tuple[int, str]:
    """How many lines the log of this state directory has, and the hash of the last.

    Raises AuditError naming the first line after which something was altered or cut out.
    """
    path = state_dir / FILE_NAME
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise AuditError(
            f"audit log {path}: there is none; a node makes one when it is started"
        ) from None
    except OSError as error:
        raise AuditError(f"audit log {path}: {error.strerror}") from None
    last = FIRST
    for number, line in enumerate(lines, 1):
        try:
            previous = json.loads(line)["previous"]
        except (ValueError, KeyError, TypeError, RecursionError):
            if number == len(lines):
                raise AuditError(f"{path}: line {number}, the last, is torn") from None
            previous = last  # torn by a crash; the next line vouches for it
        if previous != last:
            raise AuditError(
                f"{path}: line {number} does not follow the line before it: something between "
                "them was altered or cut out"
            )
        last = _hash(line)
    return len(lines), last


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return ""

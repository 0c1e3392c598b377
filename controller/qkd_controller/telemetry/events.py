"""One JSON line for each thing that happens: state changes, blocks, deliveries, faults."""

import json
import logging
import os
import sys
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from qkd_controller.config.errors import ConfigError

KEPT_EVENTS = 50


class EventLog:
    """Writes events as JSON lines and keeps the latest for the status snapshot.

    Only text, numbers, booleans, and lists and tables of them can be logged: bytes are refused,
    so that key material cannot slip in. A new file is for this user alone.
    """

    def __init__(self, node: str, path: str = "") -> None:
        self._node = node
        self._stream = _opened(path) if path else sys.stderr
        self.latest: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)

    def emit(self, event: str, **fields: Any) -> None:
        """Writes one event; raises TypeError for a field that is not plain data."""
        self._write("info", event, fields)

    def warn(self, event: str, **fields: Any) -> None:
        """As emit(), for what an operator should look at."""
        self._write("warning", event, fields)

    def fail(self, error: BaseException) -> None:
        """Writes down an error that nobody expected, with its stack trace."""
        trace = "".join(traceback.format_exception(error)).splitlines()
        self._write("error", "failed", {"error": type(error).__name__, "trace": trace})

    def capture_logging(self) -> None:
        """Sends the warnings of libraries here too, without stack traces."""
        root = logging.getLogger()
        root.handlers[:] = [_Handler(self)]
        root.setLevel(logging.WARNING)

    def close(self) -> None:
        """Closes the file; standard error stays open."""
        if self._stream is not sys.stderr:
            self._stream.close()

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        stamp = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        record = {"utc": stamp, "level": level, "node": self._node, "event": event, **fields}
        line = json.dumps(record, allow_nan=False, default=_refused)
        self.latest.append(record)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            # A full disk must not stop the link; the event stays in the status snapshot.
            return


class _Handler(logging.Handler):
    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
        self._log.warn("library", **fields)


def _opened(path: str) -> IO[str]:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"telemetry.log_file: {path}: {error.strerror}"]) from None


def _refused(value: object) -> Any:
    raise TypeError(f"a {type(value).__name__} does not belong in a log")

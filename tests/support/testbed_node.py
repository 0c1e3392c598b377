"""One node of the testbed: its process, its status, its log, its application."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed_store import Store, read_store
from waiting import PATIENCE_S

from qkd_controller.cli.site import DemoNode
from qkd_controller.config.load import load_node
from qkd_controller.node.operator import StatusUnavailable
from qkd_controller.node.operator_client import read_status as _read_status
from qkd_controller.node.operator_client import rearm_device
from qkd_controller.node.status import DeviceStatus, LinkStatus, NodeStatus


class Log:
    """The JSON events of one node, over all its restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, kind: str = "", since: int = 0) -> list[dict[str, Any]]:
        """Events of a kind, or all, without the first `since` lines of the file."""
        lines = self._lines()[since:]
        events = [json.loads(line) for line in lines]
        return [event for event in events if not kind or event["event"] == kind]

    def mark(self) -> int:
        """Where the log stands, to be given as `since`."""
        return len(self._lines())

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        # The line being written at this moment is left for the next look.
        return text[: text.rfind("\n") + 1].splitlines()


class Node:
    """One end: its process, its status, its log, its application."""

    def __init__(self, name: str, site: DemoNode) -> None:
        self.name = name
        self.site = site
        self.directory = site.config.parent
        self.log = Log(self.directory / "node.log")
        self.errors = self.directory / "node.err"
        self.process: subprocess.Popen[bytes] | None = None
        self.started_utc_s = 0.0

    def start(self) -> None:
        """Starts the process; its standard error is appended to node.err."""
        with self.errors.open("ab") as errors:
            self.process = spawn("qkd_controller.cli.main", errors, "node", self.site.config)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """The exit status of a process that ends by itself."""
        assert self.process is not None
        return self.process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL, whatever it does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kills the process at once and starts it anew."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM, as an operator stops it; its exit status."""
        if self.process is None:
            return 0
        self.thaw()
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()

    def freeze(self) -> None:
        """Makes the process stand still, and so what is on its disk."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Lets the process go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The process stands still inside."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def status(self) -> NodeStatus | None:
        """The node's own snapshot; None while it does not answer."""
        try:
            return asyncio.run(_read_status(self.site.status_socket, 2.0))
        except StatusUnavailable:
            return None

    def link(self) -> LinkStatus | None:
        """The snapshot of its one link; None while it does not answer."""
        status = self.status()
        return status.links[0] if status else None

    def device(self, name: str) -> DeviceStatus | None:
        """What it says of one of its instruments."""
        link = self.link()
        return next((d for d in link.devices if d.name == name), None) if link else None

    def rearm(self, device: str) -> None:
        """The operator's word that the cause of a trip is gone."""
        asyncio.run(rearm_device(self.site.status_socket, device))

    def is_(self, state: str) -> bool:
        """Whether its link is in this state."""
        link = self.link()
        return link is not None and link.state == state

    def metrics(self) -> str:
        """The text of its Prometheus endpoint."""
        address = load_node(self.site.config).telemetry.metrics_address
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def store(self) -> Store:
        """What is on its disk; the process must be frozen or gone."""
        source = self.directory / "state/keys"
        with tempfile.TemporaryDirectory() as copy:
            for name in ("keys.db", "keys.db-wal"):
                if (source / name).exists():
                    shutil.copy(source / name, copy)
            with contextlib.closing(sqlite3.connect(Path(copy) / "keys.db")) as connection:
                return read_store(connection)


def spawn(
    module: str, errors: Any, *arguments: str | Path, stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=errors,
        start_new_session=True,
    )

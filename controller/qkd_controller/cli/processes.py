"""The processes of a demo: the simulator and both nodes, none of which outlives it."""

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from qkd_controller.cli.site import DemoSite, SiteError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_IN_USE = os.strerror(errno.EADDRINUSE).lower()


class PortTaken(SiteError):
    """Somebody else took one of the demo's ports before it did."""


@dataclass(frozen=True)
class Child:
    """One process, and the file of its errors."""

    name: str
    errors: Path
    process: asyncio.subprocess.Process

    def require_alive(self) -> None:
        """Raises SiteError with the process's last word if it has ended."""
        if self.process.returncode is not None:
            raise failed(f"{self.name} ended", last_line(self.errors), self.errors)


@contextlib.asynccontextmanager
async def running(site: DemoSite) -> AsyncIterator[list[Child]]:
    """The simulator and both nodes as processes; all are stopped at the end, nodes first."""
    children: list[Child] = []
    try:
        errors = site.directory / "sim.err"
        lab = site.directory / "lab"
        children.append(
            await _start("the simulator", errors, "qkd_firmware_sim.main", site.lab, "--dir", lab)
        )
        await _ready(children[0])
        for name, node in site.nodes.items():
            errors = node.config.parent / "node.err"
            children.append(
                await _start(name, errors, "qkd_controller.cli.main", "node", node.config)
            )
        yield children
    finally:
        for child in reversed(children):
            await _stop(child.process)


def failed(what: str, cause: str, file: Path) -> SiteError:
    """The error to raise for a part of the demo that failed, with its cause if it told one."""
    kind = PortTaken if _IN_USE in cause.lower() else SiteError
    return kind(f"{what}: {cause}" if cause else f"{what}; see {file}")


def last_line(file: Path) -> str:
    """What a process said last on its standard error; empty if nothing."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("qkd: ").removeprefix("qkd-sim: ") if said else ""


async def _start(name: str, errors: Path, module: str, *arguments: str | Path) -> Child:
    errors.touch(mode=0o600)
    with errors.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "qkd_controller.cli.child",
            str(os.getpid()),
            module,
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            # A Ctrl-C at the terminal is the demo's to handle, in order.
            start_new_session=True,
        )
    return Child(name, errors, process)


async def _ready(simulator: Child) -> None:
    stdout = simulator.process.stdout
    assert stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := await stdout.readline():
                if line.strip() == b"ready":
                    return
            await simulator.process.wait()
    except TimeoutError:
        pass
    raise failed("the simulator did not start", last_line(simulator.errors), simulator.errors)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

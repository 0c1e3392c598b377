"""`qkd demo`: a simulated optical table and two nodes, from nothing to keys that match."""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from qkd_controller.cli.draw import KeyClient
from qkd_controller.cli.site import DemoSite, SiteError, build_site
from qkd_controller.cli.table import make_console, status_table
from qkd_controller.config.errors import QkdError
from qkd_controller.node.operator import StatusUnavailable, read_status
from qkd_controller.node.status import NodeStatus

REFRESH_S = 0.5
DRAW_EVERY_S = 5.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
DRAWN_KEY_BITS = 256


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("demo", help="run a whole link on a simulated optical table")
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="where they are")
    parser.add_argument(
        "--dir", type=Path, default=Path("run/demo"), help="made anew, for this run alone"
    )
    parser.add_argument(
        "--duration", type=float, default=0, help="seconds from both nodes' start; 0: until Ctrl-C"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the demo; 0 if keys were made and matched, or on Ctrl-C without a mismatch."""
    return asyncio.run(_demo(args.configs, args.dir, args.duration))


@dataclass
class _Drawn:
    """What the demo's two applications got so far."""

    matched: int = 0
    mismatched: int = 0
    latest: str = "waiting for the first key"
    faults: list[str] = field(default_factory=list)


async def _demo(configs: Path, directory: Path, duration_s: float) -> int:
    console = make_console()
    console.print(f"making certificates and the pairing secret in {directory}")
    site = await asyncio.to_thread(build_site, configs, directory)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    drawn = _Drawn()
    async with _running(site) as processes:
        started = await _both_started(site, processes, stop)
        if started:
            await _watch(console, site, processes, stop, duration_s, drawn)
    if drawn.mismatched:
        print(f"{drawn.mismatched} keys did not match", file=sys.stderr)
        return 1
    print(f"{drawn.matched} keys drawn at both ends, all matched")
    if duration_s and not drawn.matched:
        print(f"no key within {duration_s:g} s; see {directory}/*/node.log", file=sys.stderr)
        return 1
    return 0


async def _watch(
    console: Console,
    site: DemoSite,
    processes: list[asyncio.subprocess.Process],
    stop: asyncio.Event,
    duration_s: float,
    drawn: _Drawn,
) -> None:
    """Shows both ends and draws keys until the time is over, or stop is set."""
    end = time.monotonic() + duration_s if duration_s else float("inf")
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    next_line = 0.0
    async with asyncio.TaskGroup() as group:
        drawing = group.create_task(_draw_keys(site, drawn))
        with live or contextlib.nullcontext():
            while not stop.is_set() and time.monotonic() < end:
                _require_alive(site, processes)
                nodes = await _statuses(site)
                if live is not None:
                    table = status_table(nodes, list(site.nodes))
                    live.update(Group(table, Text(drawn.latest)), refresh=True)
                elif time.monotonic() >= next_line:
                    next_line = time.monotonic() + DRAW_EVERY_S
                    console.print(_line(nodes), highlight=False, soft_wrap=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REFRESH_S)
        if live is None:
            console.print(status_table(await _statuses(site), list(site.nodes)))
            console.print(drawn.latest)
        drawing.cancel()


async def _draw_keys(site: DemoSite, drawn: _Drawn) -> None:
    """Every few seconds one key at Alice's end, and the same by its ID at Bob's."""
    alice, bob = site.nodes.values()
    async with (
        KeyClient(alice.delivery_url, alice.application) as at_alice,
        KeyClient(bob.delivery_url, bob.application) as at_bob,
    ):
        while True:
            try:
                (ours,) = await at_alice.request_keys(bob.sae_id, 1, DRAWN_KEY_BITS)
                (theirs,) = await at_bob.request_keys_by_id(alice.sae_id, [ours.key_id])
            except QkdError as error:
                if not drawn.matched:
                    drawn.latest = f"no key yet: {error}"
            else:
                matches = ours.fingerprint == theirs.fingerprint
                drawn.matched += matches
                drawn.mismatched += not matches
                drawn.latest = (
                    f"key {ours.key_id}: fingerprint {ours.fingerprint} at alice, "
                    f"{theirs.fingerprint} at bob: {'match' if matches else 'MISMATCH'} "
                    f"({drawn.matched} so far)"
                )
            await asyncio.sleep(DRAW_EVERY_S if drawn.matched else 1.0)


async def _both_started(
    site: DemoSite, processes: list[asyncio.subprocess.Process], stop: asyncio.Event
) -> bool:
    """Waits until both nodes answer; False if stopped before."""
    end = time.monotonic() + START_TIMEOUT_S
    while not stop.is_set():
        _require_alive(site, processes)
        if all(await _statuses(site)):
            return True
        if time.monotonic() > end:
            raise SiteError(f"the nodes did not start in {START_TIMEOUT_S:g} s; see their logs")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.2)
    return False


async def _statuses(site: DemoSite) -> list[NodeStatus | None]:
    async def one(path: Path) -> NodeStatus | None:
        try:
            return await read_status(path, 2.0)
        except StatusUnavailable:
            return None

    return list(await asyncio.gather(*(one(node.status_socket) for node in site.nodes.values())))


def _require_alive(site: DemoSite, processes: list[asyncio.subprocess.Process]) -> None:
    for name, process in zip(("the simulator", *site.nodes), processes, strict=True):
        if process.returncode is not None:
            raise SiteError(f"{name} ended with status {process.returncode}; see {site.directory}")


def _line(nodes: list[NodeStatus | None]) -> str:
    parts = []
    for node in nodes:
        if node is None:
            parts.append("no answer")
            continue
        for link in node.links:
            parts.append(
                f"{node.node}: {link.state}, {link.coincidences_hz / 1e3:.1f} kcps, "
                f"sifted {link.sifted_bits_per_s / 1e3:.1f} kbit/s, "
                f"secret {link.secret_bits_per_s / 1e3:.1f} kbit/s, "
                f"buffer {link.own_key_bits / 1e3:.0f} kbit, {link.cause}"
            )
    return " | ".join(parts)


@contextlib.asynccontextmanager
async def _running(site: DemoSite) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """The simulator and both nodes as processes; all are stopped at the end, nodes first."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        simulator = await _start(
            site.directory / "sim.err",
            "qkd_firmware_sim.main",
            site.lab,
            "--dir",
            site.directory / "lab",
        )
        processes.append(simulator)
        await _ready(simulator)
        for node in site.nodes.values():
            log = node.config.parent / "node.err"
            processes.append(await _start(log, "qkd_controller.cli.main", "node", node.config))
        yield processes
    finally:
        for process in reversed(processes):
            await _stop(process)


async def _start(log: Path, module: str, *arguments: str | Path) -> asyncio.subprocess.Process:
    with log.open("wb") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            # A Ctrl-C at the terminal is the demo's to handle, in order.
            start_new_session=True,
        )


async def _ready(simulator: asyncio.subprocess.Process) -> None:
    assert simulator.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := await simulator.stdout.readline():
                if line.strip() == b"ready":
                    return
    except TimeoutError:
        pass
    raise SiteError("the simulator did not start; see sim.err in the demo's directory")


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

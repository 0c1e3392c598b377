"""`qkd demo`: a simulated optical table and two nodes, from nothing to keys that match."""

import argparse
import asyncio
import contextlib
import signal
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from qkd_controller.cli.draw import KeyClient
from qkd_controller.cli.processes import START_TIMEOUT_S, Child, PortTaken, failed, running
from qkd_controller.cli.site import DemoSite, SiteError, build_site, claimed
from qkd_controller.cli.table import make_console, status_table
from qkd_controller.config.errors import QkdError
from qkd_controller.node.operator import StatusUnavailable
from qkd_controller.node.operator_client import read_status
from qkd_controller.node.status import NodeStatus

REFRESH_S = 0.5
DRAW_EVERY_S = 5.0
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
DRAWN_KEY_BITS = 256


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("demo", help="run a whole link on a simulated optical table")
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="where they are")
    parser.add_argument(
        "--dir", type=Path, default=Path("run/demo"), help="made anew, for this run alone"
    )
    parser.add_argument(
        "--duration",
        type=_duration_s,
        default=0,
        help="seconds from both nodes' start; 0: until Ctrl-C",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the demo; 0 if keys were made and matched, or on Ctrl-C without a mismatch.

    A run of a set duration that is interrupted before its end gives 130.
    """
    with claimed(args.dir):
        return asyncio.run(_demo(args.configs, args.dir, args.duration))


@dataclass
class _Drawn:
    """What the demo's two applications got so far."""

    matched: int = 0
    mismatched: int = 0
    latest: str = "waiting for the first key"


async def _demo(configs: Path, directory: Path, duration_s: float) -> int:
    console = make_console()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # With nohup the demo is meant to outlive its terminal.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    drawn = _Drawn()
    begun = time.monotonic()
    for fresh_ports in (False, True):
        console.print(f"making certificates and the pairing secret in {directory}")
        site = await asyncio.to_thread(build_site, configs, directory, fresh_ports=fresh_ports)
        try:
            async with running(site) as children:
                if await _both_started(site, children, stop):
                    begun = time.monotonic()
                    await _watch(console, site, children, stop, duration_s, drawn)
            break
        except PortTaken as error:
            if fresh_ports:
                raise
            console.print(f"{error}; once more, with other ports")
    return _verdict(drawn, duration_s, time.monotonic() - begun, stop.is_set(), directory)


def _verdict(
    drawn: _Drawn, duration_s: float, lasted_s: float, interrupted: bool, directory: Path
) -> int:
    """Says how it went; the exit status."""
    if drawn.mismatched:
        print(f"{_keys(drawn.mismatched)} did not match", file=sys.stderr)
        return 1
    match drawn.matched:
        case 0:
            print("no key was drawn")
        case 1:
            print("1 key drawn at both ends, and it matched")
        case _:
            print(f"{_keys(drawn.matched)} drawn at both ends, all matched")
    if duration_s and interrupted:
        print(f"interrupted after {lasted_s:.0f} s of {duration_s:g} s", file=sys.stderr)
        return INTERRUPTED
    if duration_s and not drawn.matched:
        print(f"no key within {duration_s:g} s; see {directory}/*/node.log", file=sys.stderr)
        return 1
    return 0


def _keys(number: int) -> str:
    return "1 key" if number == 1 else f"{number} keys"


def _duration_s(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


async def _watch(
    console: Console,
    site: DemoSite,
    children: list[Child],
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
        with _without_echo(), live or contextlib.nullcontext():
            while not stop.is_set() and time.monotonic() < end:
                for child in children:
                    child.require_alive()
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


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """No ``^C`` in the middle of the table, where standard input is a terminal."""
    try:
        before = termios.tcgetattr(sys.stdin.fileno())
    except (OSError, ValueError, termios.error):
        yield
        return
    quiet = [*before[:3], before[3] & ~termios.ECHOCTL, *before[4:]]
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)


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


async def _both_started(site: DemoSite, children: list[Child], stop: asyncio.Event) -> bool:
    """Waits until both nodes answer; False if stopped before."""
    end = time.monotonic() + START_TIMEOUT_S
    while not stop.is_set():
        for child in children:
            child.require_alive()
        nodes = await _statuses(site)
        if all(nodes):
            _require_ports(nodes, site)
            return True
        if time.monotonic() > end:
            raise SiteError(
                f"the nodes did not start in {START_TIMEOUT_S:g} s; "
                f"see {site.directory}/*/node.err and node.log"
            )
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


def _require_ports(nodes: list[NodeStatus | None], site: DemoSite) -> None:
    """Raises PortTaken if a link cannot listen, which does not end its node."""
    for node, name in zip(nodes, site.nodes, strict=True):
        for link in node.links if node else ():
            error = failed(f"link {link.name} of {name}", link.cause, site.directory)
            if isinstance(error, PortTaken):
                raise error


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

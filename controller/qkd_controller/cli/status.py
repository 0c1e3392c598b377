"""`qkd status`: the running node's snapshot, as a table or as JSON."""

import argparse
import asyncio
from pathlib import Path

import msgspec
from rich.console import Console

from qkd_controller.cli.table import make_console, status_table, told_reading
from qkd_controller.config.load import load_node
from qkd_controller.node.operator_client import read_status
from qkd_controller.node.status import LinkStatus, NodeStatus


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("status", help="show what a running node does")
    parser.add_argument("target", type=Path, metavar="NODE.toml|SOCKET")
    parser.add_argument("--json", action="store_true", help="the whole snapshot as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the snapshot; raises StatusUnavailable if no node answers."""
    path: Path = args.target
    socket = Path(load_node(path).status_socket) if path.suffix == ".toml" else path
    status = asyncio.run(read_status(socket))
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(status), indent=2).decode())
        return 0
    console = make_console()
    console.print(status_table([status], [status.node]))
    for link in status.links:
        _print_devices(console, link, status.utc_s)
    _print_events(console, status)
    return 0


def _print_devices(console: Console, link: LinkStatus, now_utc_s: float) -> None:
    for device in link.devices:
        readings = ", ".join(
            f"{name} {told_reading(*reading, now_utc_s)}"
            for name, reading in sorted(device.readings.items())
        )
        console.print(
            f"  {device.name} ({device.model}): {device.state}; {device.cause or 'no fault'}"
            + (f"; {readings}" if readings else ""),
            highlight=False,
        )


def _print_events(console: Console, status: NodeStatus) -> None:
    for event in status.events[-5:]:
        rest = ", ".join(
            f"{k} {v}" for k, v in event.items() if k not in ("utc", "level", "node", "event")
        )
        console.print(f"  {event['utc']} {event['event']}: {rest}", highlight=False, markup=False)

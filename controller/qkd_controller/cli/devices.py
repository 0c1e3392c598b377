"""`qkd devices`: what can be driven, what is plugged in, and what a running node's devices do."""

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import time
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from qkd_controller.cli.table import make_console, told_reading
from qkd_controller.config.errors import ConfigError, one_line
from qkd_controller.config.load import load_node
from qkd_controller.devices.kinds import KINDS
from qkd_controller.node.operator import RequestDeclined, Traced
from qkd_controller.node.operator_client import read_status, set_device, trace_device
from qkd_controller.node.status import DeviceStatus
from qkd_drivers.catalogue import models
from qkd_drivers.scan import Found, Place, host_places, look, serial_places, visa_places


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `qkd`."""
    parser = subparsers.add_parser("devices", help="find, show, set and trace instruments")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="the models that can be driven")
    listing.set_defaults(run=_list)
    scan = commands.add_parser(
        "scan",
        help="find instruments and print a section of a node file for each",
        description="Asks every serial port with a USB identity, every USB and GPIB instrument "
        "that PyVISA sees, and the given hosts, who is there. Nothing is changed; a port that "
        "another program holds is told as busy.",
    )
    scan.add_argument("--serial", action="append", default=[], metavar="PORT", help="only these")
    scan.add_argument("--host", action="append", default=[], metavar="HOST[:PORT]")
    scan.set_defaults(run=_scan)
    show = commands.add_parser(
        "show",
        help="set-points, what the device holds, and what it measures",
        description="What a device that is not connected holds and measures is left blank; a "
        "reading that is not of this moment is shown with its age.",
    )
    show.add_argument("config", type=Path, metavar="NODE.toml")
    show.add_argument("device", nargs="?", metavar="DEVICE", help="one of them; else all")
    show.set_defaults(run=_show)
    setting = commands.add_parser("set", help="change set-points until the node ends")
    setting.add_argument("config", type=Path, metavar="NODE.toml")
    setting.add_argument("device", metavar="DEVICE")
    setting.add_argument("changes", nargs="+", metavar="KEY=VALUE")
    setting.set_defaults(run=_set)
    trace = commands.add_parser("trace", help="what goes over a device's wire, until Ctrl-C")
    trace.add_argument("config", type=Path, metavar="NODE.toml")
    trace.add_argument("device", metavar="DEVICE")
    trace.set_defaults(run=_trace)


def _list(args: argparse.Namespace) -> int:
    table = Table(box=None, pad_edge=False)
    for head in ("model", "kind", "instrument", "wires"):
        table.add_column(head)
    for model in models().values():
        table.add_row(model.name, model.kind, model.title, " ".join(model.wires))
    make_console().print(table)
    return 0


def _scan(args: argparse.Namespace) -> int:
    places = serial_places(args.serial) if args.serial or not args.host else []
    try:
        places += host_places(args.host)
    except ValueError as error:
        raise ConfigError([f"--host {error}"]) from None
    blind: list[str] = []
    if not args.serial and not args.host:
        seen, blind = visa_places()
        places += seen
    found = asyncio.run(_look_everywhere(places))
    names: set[str] = set()
    for each in found:
        if each.model is None:
            print(f"# {one_line(each.place.name)}: {one_line(each.cause)}")
            continue
        print(_stanza(each, names))
    for line in blind:
        print(f"# {one_line(line)}")
    if not found:
        print("# no instrument is plugged in here; name a --host to look there")
    return 0 if any(each.model for each in found) else 1


async def _look_everywhere(places: list[Place]) -> list[Found]:
    looks = await asyncio.gather(*(look(place) for place in places))
    return list(itertools.chain.from_iterable(looks))


def _stanza(found: Found, names: set[str]) -> str:
    """A section of a node file; required set-points are left for the operator to fill in."""
    model, identity = found.model, found.identity
    assert model is not None and identity is not None
    numbered = (f"{model.name}-{number}" for number in itertools.count(2))
    name = next(name for name in itertools.chain([model.name], numbered) if name not in names)
    names.add(name)
    fields = msgspec.structs.fields(KINDS[model.kind].set_points)
    needed = [field.name for field in fields if field.required]
    lines = [
        one_line(f"# {identity.model} {identity.serial_number} {identity.firmware}").rstrip(),
        "[[links.devices]]",
        f'name = "{name}"',
        f'kind = "{model.kind}"',
        f'model = "{model.name}"',
        f"address = {_quoted(found.address)}",
    ]
    if identity.serial_number:
        lines.append(f"serial_number = {_quoted(identity.serial_number)}")
    if needed:
        lines.append(f"# set_points = {{ {', '.join(f'{each} = …' for each in needed)} }}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """As TOML writes text."""
    return json.dumps(one_line(text), ensure_ascii=False)


def _show(args: argparse.Namespace) -> int:
    status = asyncio.run(read_status(_socket(args.config)))
    devices = [device for link in status.links for device in link.devices]
    shown = [device for device in devices if args.device in (None, device.name)]
    if not shown:
        known = ", ".join(device.name for device in devices)
        raise RequestDeclined(f"there is no device {args.device}; there are {known}")
    console = make_console()
    for device in shown:
        console.print(
            f"{device.name} ({device.model}): {device.state}; {device.cause or 'no fault'}",
            highlight=False,
        )
        console.print(_figures(device, status.utc_s))
    return 0


def _figures(device: DeviceStatus, now_utc_s: float) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("  quantity", "set", "held", "measured"):
        table.add_column(head)
    wanted = {name: value for name, value in device.set_points.items() if value is not None}
    for name in dict.fromkeys([*wanted, *device.observed, *device.readings]):
        measured = device.readings.get(name)
        table.add_row(
            f"  {name}",
            _told(wanted.get(name)),
            _told(device.observed.get(name)),
            "" if measured is None else told_reading(*measured, now_utc_s),
        )
    return table


def _told(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _set(args: argparse.Namespace) -> int:
    changes: dict[str, Any] = {}
    for text in args.changes:
        key, value = _change(text)
        if key in changes:
            raise ConfigError([f"{key} is given twice"])
        changes[key] = value
    on_its_way = (
        f"{args.device} is on its way, as long as that takes; Ctrl-C does not stop it, and "
        "`qkd devices show` tells how far it is"
    )
    tell_once = functools.cache(lambda: print(on_its_way, flush=True))
    kept = asyncio.run(set_device(_socket(args.config), args.device, changes, tell_once))
    if kept:
        print(f"kept for later: {one_line(kept)}; `qkd devices show` tells how far it is")
        return 0
    print(
        f"{args.device} is at its new set-points until the node ends; "
        "change the node file to keep them"
    )
    return 0


def _change(text: str) -> tuple[str, Any]:
    """``key=value``, the value as TOML writes it; bare words are text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError([f"{text!r}: want KEY=VALUE, such as temperature_c=-12.5"])
    try:
        meant = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        meant = value.strip()
    try:
        json.dumps(meant, allow_nan=False)
    except (ValueError, TypeError):
        raise ConfigError([f"{text!r}: want finite numbers, text, or arrays of them"]) from None
    return key.strip(), meant


def _trace(args: argparse.Namespace) -> int:
    asyncio.run(_follow(_socket(args.config), args.device))
    return 0


async def _follow(socket: Path, device: str) -> None:
    async with contextlib.aclosing(trace_device(socket, device)) as entries:
        async for entry in entries:
            print(_entry(entry), flush=True)


def _entry(entry: Traced) -> str:
    cut = f" … {entry.size_bytes} bytes" if entry.size_bytes > len(entry.data) else ""
    shown = entry.data.decode("ascii", "backslashreplace") if entry.direction == "!" else None
    return f"{time.strftime('%H:%M:%S')} {entry.direction} {shown or repr(entry.data)[1:]}{cut}"


def _socket(config: Path) -> Path:
    return Path(load_node(config).status_socket)

"""What instruments hang on the wires of this machine, and on given hosts.

A place is asked in the language of each model that could hang there, until one knows itself. The
questions are those of ``connect``: they change no output and no setting.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from qkd_drivers.catalogue import Model, models, open_device
from qkd_drivers.contract import Identity
from qkd_drivers.errors import DeviceBusy, DeviceError, DeviceNotFound, DeviceRefused

BY_ID = Path("/dev/serial/by-id")
PATIENCE_S = 1.5
"""How long a model may take to know itself."""
SEAT_PATIENCE_S = 0.5
"""The same where a wire has many seats: such devices answer within milliseconds, or never."""


@dataclass(frozen=True)
class Place:
    """A wire that was looked at."""

    addresses: list[tuple[str, str]]
    """Models that could hang there and the address of each, in the order of asking."""
    name: str
    description: str = ""


@dataclass(frozen=True)
class Found:
    """What hangs at a place; without a model, why none is known."""

    place: Place
    model: Model | None = None
    address: str = ""
    identity: Identity | None = None
    cause: str = ""


def serial_places(paths: Iterable[str] = ()) -> list[Place]:
    """The given serial ports, or else all of the machine, by names that stay across replugging."""
    given = [(path, "") for path in paths]
    return [_serial_place(path, text) for path, text in given or _ports()]


def host_places(hosts: Iterable[str]) -> list[Place]:
    """The ports on which instruments listen, at each host; ``host`` or ``host:port``.

    ValueError if one is neither.
    """
    places = []
    for given in hosts:
        parts = re.fullmatch(r"(\[[^\]\s]+\]|[^:\s]+)(?::(\d+))?", given)
        if parts is None or int(parts[2] or 1) not in range(1, 65536):
            raise ValueError(f"{given!r} is no HOST or HOST:PORT; IPv6 stands in brackets")
        host, port = parts[1], parts[2]
        if port:
            places.append(Place(_at_port(host, port), given))
            continue
        by_port: dict[str, list[tuple[str, str]]] = {}
        for model in models().values():
            for address in model.host_addresses:
                at = by_port.setdefault(address, [])
                at.append((model.name, address.format(host=host)))
        places += [Place(named, named[0][1]) for named in by_port.values()]
    return places


def visa_places() -> tuple[list[Place], list[str]]:
    """The USB and GPIB instruments that PyVISA sees; a line for each bus that it cannot look at."""
    # Slow to import, and not needed to list models. PyVISA's own list_resources would also
    # broadcast into every network.
    import pyvisa_py.highlevel  # noqa: F401 (registers the classes of sessions)
    from pyvisa.constants import InterfaceType
    from pyvisa_py.sessions import Session

    missing = dict(Session.iter_session_classes_issues())
    names: list[str] = []
    blind: list[str] = []
    for bus, kind, needs in (
        ("USB", InterfaceType.usb, "INSTR"),
        ("GPIB", InterfaceType.gpib, "INTFC"),
    ):
        if (kind, needs) in missing:
            advice = missing[kind, needs].splitlines()[0].partition(". ")[0].rstrip(".")
            blind.append(f"{bus} was not looked at: {advice}")
            continue
        try:
            names += Session.get_session_class(kind, "INSTR").list_resources()
        except Exception as error:  # of a vendor's library: anything
            blind.append(f"{bus} was not looked at: {error}")
    return [Place(_at(f"visa:{name}"), f"visa:{name}") for name in names], blind


async def look(place: Place, patience_s: float = PATIENCE_S) -> list[Found]:
    """Asks who is there; never raises DeviceError.

    One instrument, or all that share the wire; or one without a model, which says why.
    """
    found: list[Found] = []
    for name, address in place.addresses:
        if found and found[0].model != models()[name]:
            break
        shared = len(models()[name].seats) > 1
        try:
            async with asyncio.timeout(min(patience_s, SEAT_PATIENCE_S) if shared else patience_s):
                device = await open_device(name, address, name)
        except (DeviceNotFound, DeviceBusy, DeviceRefused) as error:
            # The next model would find the same door shut.
            told = str(error).removeprefix(f"{name}: connect: ").removeprefix(f"{address}: ")
            return found or [Found(place, cause=told)]
        except (DeviceError, TimeoutError, ValueError):
            continue
        identity = device.identity
        with contextlib.suppress(DeviceError):
            await device.close()
        found.append(Found(place, models()[name], address, identity))
        if not shared:
            break
    return found or [Found(place, cause="no known model answers")]


def _ports() -> list[tuple[str, str]]:
    stable = {}
    if BY_ID.is_dir():
        stable = {str(link.resolve()): str(link) for link in sorted(BY_ID.iterdir())}
    return [
        (stable.get(port.device, port.device), port.description)
        for port in sorted(list_ports.comports())
        if port.vid is not None or port.device in stable
    ]


def _serial_place(path: str, description: str) -> Place:
    return Place(_at(f"serial:{path}"), path, description)


def _at(address: str) -> list[tuple[str, str]]:
    """The address, for each model that hangs on wires of its scheme, and for each of its seats."""
    scheme = address.partition(":")[0]
    return [
        (model.name, f"{address}?{seat}" if seat else address)
        for model in models().values()
        if scheme in model.wires
        for seat in model.seats
    ]


def _at_port(host: str, port: str) -> list[tuple[str, str]]:
    """In every language of a socket; a ZeroMQ peer greets at once, others wait to be asked."""
    return [
        *_at(f"zeromq:{host}:{port}"),
        *_at(f"tcp:{host}:{port}"),
        *_at(f"visa:TCPIP::{host}::hislip0,{port}::INSTR"),
    ]

"""What instruments hang on the wires of this machine, and on given hosts.

A place is asked in the language of each model that could hang there, until one knows itself. The
questions are those of ``connect``: they change no output and no setting.
"""

import asyncio
import contextlib
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


@dataclass(frozen=True)
class Place:
    """A wire that was looked at."""

    addresses: dict[str, str]
    """Under which address each model would be reached there."""
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
    """The ports on which instruments listen, at each host; ``host`` or ``host:port``."""
    places = []
    for host in hosts:
        name, colon, port = host.rpartition(":")
        if colon and port.isdecimal():
            addresses = {
                m.name: f"{scheme}:{name}:{port}"
                for scheme in ("zeromq", "tcp")  # a ZeroMQ peer greets at once, others wait
                for m in models().values()
                if scheme in m.wires
            }
            places.append(Place(addresses, host))
            continue
        by_port: dict[str, dict[str, str]] = {}
        for model in models().values():
            for address in model.host_addresses:
                by_port.setdefault(address, {})[model.name] = address.format(host=host)
        places += [Place(named, next(iter(named.values()))) for named in by_port.values()]
    return places


def visa_places() -> list[Place]:
    """The USB instruments that PyVISA sees; none if its back-end cannot look."""
    import pyvisa  # slow to import, and not needed to list models

    try:
        resources = pyvisa.ResourceManager("@py").list_resources("USB?*")
    except Exception:
        return []
    return [Place(_at(f"visa:{name}"), f"visa:{name}") for name in resources]


async def look(place: Place, patience_s: float = PATIENCE_S) -> Found:
    """Asks who is there; never raises DeviceError."""
    cause = "no known model answers"
    for name, address in place.addresses.items():
        try:
            async with asyncio.timeout(patience_s):
                device = await open_device(name, address, name)
        except (DeviceNotFound, DeviceBusy, DeviceRefused) as error:
            # The next model would find the same door shut.
            return Found(place, cause=str(error).removeprefix(f"{name}: connect: "))
        except (DeviceError, TimeoutError, ValueError):
            continue
        identity = device.identity
        with contextlib.suppress(DeviceError):
            await device.close()
        return Found(place, models()[name], address, identity)
    return Found(place, cause=cause)


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


def _at(address: str) -> dict[str, str]:
    """The address, for each model that hangs on wires of its scheme."""
    scheme = address.partition(":")[0]
    return {model.name: address for model in models().values() if scheme in model.wires}

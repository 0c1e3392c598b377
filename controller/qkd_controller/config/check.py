"""What types cannot say about a node file: each fault a line.

A rule is applied wherever the settings that it needs are sound, whatever else is wrong.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

from qkd_controller.config.identity import name_fault
from qkd_controller.config.limits import NODE_RANGES, range_faults
from qkd_controller.config.parts import Parts, broken, every, link_ends

LONGEST_SOCKET_PATH_BYTES = 107
"""Of a Unix socket, unix(7)."""


def node_faults(parts: Parts, links: Sequence[Parts]) -> list[str]:
    """Faults of a node file's settings, next to its link files' (an empty one where unread)."""
    faults = range_faults(parts, NODE_RANGES)
    if "name" in parts and (fault := name_fault(parts["name"], "node")):
        faults.append(f"name: {fault}")
    if broken(parts, bool, "links"):
        faults.append("links: a node needs at least one link end")
    names = Counter(link["name"] for link in links if "name" in link)
    faults += [f"links: {c} of them are called {n}" for n, c in names.items() if c > 1]
    for where, link in zip(link_ends(parts), links, strict=True):
        faults += _joining_faults(parts, where, link)
        faults += _channel_faults(parts, where)
        faults += _device_faults(parts, where)
    faults += _application_faults(parts)
    for setting, address in addresses(parts).items():
        try:
            split_address(address)
        except ValueError as error:
            faults.append(f"{setting}: {error}")
    faults += _port_faults(parts, links) + _wire_faults(parts)
    path = parts.get("status_socket", "")
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH_BYTES:
        faults.append(
            f"status_socket: {path} is longer than the {LONGEST_SOCKET_PATH_BYTES} bytes that the "
            "path of a Unix socket may have"
        )
    return faults


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` as its parts; raises ValueError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def addresses(parts: Parts) -> dict[str, str]:
    """Every address that the node listens on or connects to for itself, by its setting."""
    found = dict(every(parts, "links[].address"))
    for setting in ("delivery.address", "telemetry.metrics_address"):
        if setting in parts and (parts[setting] or setting == "delivery.address"):
            found[setting] = parts[setting]
    return found


def _joining_faults(parts: Parts, where: str, link: Parts) -> list[str]:
    """Faults of a link end next to its link file."""
    faults = []
    node, nodes = parts.get("name"), link.get("nodes")
    if node is not None and nodes is not None and node not in nodes:
        file = parts[f"{where}.link_file"]
        faults.append(f"{where}.link_file: {file} joins {' and '.join(nodes)}, not {node}")
    run_s, slice_ms = parts.get(f"{where}.run_duration_s"), link.get("timing.slice_ms")
    if run_s is not None and slice_ms is not None and 0 < 1000 * run_s < slice_ms:
        faults.append(f"{where}.run_duration_s: {run_s:g} s hold no slice of {slice_ms} ms")
    elif node is not None and link.get("roles.time_reference") == node:
        faults += _test_slice_faults(where, run_s, slice_ms, link.get("timing.test_slice_every"))
    return faults


def _test_slice_faults(
    where: str, run_s: float | None, slice_ms: int | None, every_slices: int | None
) -> list[str]:
    """Slices are counted from each run's start, and its first one is seldom whole at both ends."""
    if run_s is None or slice_ms is None or every_slices is None:
        return []
    every_s = slice_ms * every_slices / 1e3
    if not 0 < run_s <= 1.5 * every_s:
        return []
    return [
        f"{where}.run_duration_s: a run of {run_s:g} s may hold no test slice, of which there is "
        f"one every {every_s:g} s (timing.slice_ms, timing.test_slice_every); without them no "
        "error rate is seen while key is made"
    ]


def _channel_faults(parts: Parts, where: str) -> list[str]:
    channels = parts.get(f"{where}.channels")
    if channels is None:
        return []
    numbers = Counter(channel.channel for channel in channels)
    faults = [
        f"{where}.channels: channel {n} is named {c} times" for n, c in numbers.items() if c > 1
    ]
    present = {(channel.basis, channel.bit) for channel in channels}
    missing = [f"{b}{v}" for b in "zx" for v in (0, 1) if (b, v) not in present]
    if missing:
        faults.append(f"{where}.channels: no channel for {', '.join(missing)}")
    return faults


def _device_faults(parts: Parts, where: str) -> list[str]:
    names = Counter(
        name for at, name in every(parts, "links[].devices[].name") if at.startswith(f"{where}.")
    )
    faults = [f"{where}.devices: {n} is named {c} times" for n, c in names.items() if c > 1]
    if "" in names:
        faults.append(f"{where}.devices: a device has an empty name")
    devices = parts.get(f"{where}.devices")
    if devices is not None:
        taggers = sum(device.kind == "tagger" for device in devices)
        if taggers != 1:
            faults.append(f"{where}.devices: a link end has one tagger, here {taggers}")
    return faults


def _application_faults(parts: Parts) -> list[str]:
    applications = list(every(parts, "delivery.applications[].sae_id"))
    peers = list(every(parts, "delivery.applications[].peer_sae_ids[]"))
    counts = Counter(name for _, name in applications)
    return [
        f"{where}: {fault}"
        for where, name in applications + peers
        if (fault := name_fault(name, "sae"))
    ] + [f"delivery.applications: {n} is named {c} times" for n, c in counts.items() if c > 1]


def _port_faults(parts: Parts, links: Sequence[Parts]) -> list[str]:
    """Two endpoints of this node on one port."""
    listening = addresses(parts)
    for where, link in zip(link_ends(parts), links, strict=True):
        if link.get("roles.listener") != parts.get("name"):
            listening.pop(f"{where}.address", None)
    places = []
    for setting, address in listening.items():
        try:
            places.append((setting, *split_address(address)))
        except ValueError:
            continue  # told as a fault of its own
    return [
        f"{second}: {there}:{port} is taken by {first}"
        for (first, here, port), (second, there, other) in combinations(places, 2)
        if port == other != 0 and _overlap(here, there)
    ]


def _overlap(here: str, there: str) -> bool:
    hosts = {"127.0.0.1" if host == "localhost" else host for host in (here, there)}
    return len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"})


def _wire_faults(parts: Parts) -> list[str]:
    """Two devices on one wire."""
    wires = defaultdict(list)
    for setting, address in every(parts, "links[].devices[].address"):
        scheme, _, rest = address.partition(":")
        wire = os.path.realpath(rest.partition("?")[0]) if scheme == "serial" else rest
        wires[scheme, wire].append(setting)
    return [
        f"{setting}: {wire} is taken by {users[0]}"
        for (_, wire), users in wires.items()
        for setting in users[1:]
    ]

"""What types cannot say about a configuration: cross-field rules, each fault a line."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from qkd_controller.config.link import LinkFile
from qkd_controller.config.node import LinkEnd, NodeFile, Tls

MIN_PAD_REFILL_BITS = 1280
"""A commit's tags cost 1024 bits of pad; the rest is for checkpoints and failed sessions."""


def link_faults(link: LinkFile) -> list[str]:
    """Faults of a link file that parsed."""
    faults = [
        f"roles.{role}: {getattr(link.roles, role)!r} is none of the nodes {', '.join(link.nodes)}"
        for role in ("listener", "commit_leader", "time_reference", "bit_reference")
        if getattr(link.roles, role) not in link.nodes
    ]
    if link.nodes[0] == link.nodes[1]:
        faults.append("nodes: the two ends have the same name")
    timing, block, alignment = link.timing, link.block, link.alignment
    positive = {
        "timing.slice_ms": timing.slice_ms,
        "timing.coincidence_window_ps": timing.coincidence_window_ps,
        "timing.announce_resolution_ps": timing.announce_resolution_ps,
        "timing.max_offset_ms": timing.max_offset_ms,
        "timing.max_drift_ppm": timing.max_drift_ppm,
        "timing.search_span_ms": timing.search_span_ms,
        "block.pairs": block.pairs,
        "block.key_bits": block.key_bits,
        "block.test_bits": block.test_bits,
        "block.leakage_budget_bits": block.leakage_budget_bits,
        "alignment.sifted_per_probe": alignment.sifted_per_probe,
        "alignment.probe_timeout_s": alignment.probe_timeout_s,
    }
    faults += [f"{name}: must be above zero, is {v}" for name, v in positive.items() if v <= 0]
    ratios = {
        "block.qber_tolerance_ratio": (block.qber_tolerance_ratio, 0.5),
        "block.epsilon_secrecy": (block.epsilon_secrecy, 1.0),
        "block.epsilon_correctness": (block.epsilon_correctness, 1.0),
        "alignment.start_above_qber_ratio": (alignment.start_above_qber_ratio, 0.5),
        "alignment.alarm_above_qber_ratio": (alignment.alarm_above_qber_ratio, 0.5),
    }
    faults += [
        f"{name}: must lie between 0 and {top:g}, is {v}"
        for name, (v, top) in ratios.items()
        if not 0 < v < top
    ]
    if alignment.alarm_above_qber_ratio < alignment.start_above_qber_ratio:
        faults.append("alignment: alarm_above_qber_ratio lies below start_above_qber_ratio")
    if timing.test_slice_every < 0 or timing.test_slice_every == 1:
        faults.append("timing.test_slice_every: must be 0 (none) or at least 2")
    if timing.dead_time_ps <= 2 * timing.coincidence_window_ps:
        faults.append(
            "timing.dead_time_ps: must exceed twice timing.coincidence_window_ps, "
            "or one event could pair with two"
        )
    if block.pairs < block.key_bits + block.test_bits:
        faults.append(
            f"block.pairs: {block.pairs} pairs cannot give {block.key_bits} + "
            f"{block.test_bits} sifted bits"
        )
    if block.pad_refill_bits < MIN_PAD_REFILL_BITS or block.pad_refill_bits % 16:
        faults.append(
            f"block.pad_refill_bits: must be a multiple of 16 and at least {MIN_PAD_REFILL_BITS}, "
            "or blocks spend more authentication pad than they give back"
        )
    return faults


def node_faults(node: NodeFile, links: Iterable[LinkFile | None]) -> list[str]:
    """Faults of a node file that parsed, next to its link files (None where one did not)."""
    faults: list[str] = []
    if not node.links:
        faults.append("links: a node needs at least one link end")
    for index, (end, link) in enumerate(zip(node.links, links, strict=True)):
        where = f"links[{index}]"
        faults += [f"{where}.{fault}" for fault in _end_faults(end)]
        if link is not None and node.name not in link.nodes:
            faults.append(
                f"{where}.link_file: {end.link_file} joins {' and '.join(link.nodes)}, "
                f"not {node.name}"
            )
    faults += _address_faults("delivery.address", node.delivery.address)
    if node.telemetry.metrics_address:
        faults += _address_faults("telemetry.metrics_address", node.telemetry.metrics_address)
    delivery = node.delivery
    if not 8 <= delivery.min_key_bits <= delivery.default_key_bits <= delivery.max_key_bits:
        faults.append("delivery: min_key_bits, default_key_bits and max_key_bits must rise from 8")
    if any(
        b % 8 for b in (delivery.min_key_bits, delivery.default_key_bits, delivery.max_key_bits)
    ):
        faults.append("delivery: key sizes must be multiples of 8 bits")
    names = Counter(application.sae_id for application in delivery.applications)
    faults += [f"delivery.applications: {n} is named twice" for n, c in names.items() if c > 1]
    return faults + _tls_faults(node.tls)


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` as its parts; raises ValueError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def listening_addresses(node: NodeFile) -> dict[str, str]:
    """Every address that the node listens on or connects to for itself, by its setting."""
    addresses = {f"links[{i}].address": end.address for i, end in enumerate(node.links)}
    addresses["delivery.address"] = node.delivery.address
    if node.telemetry.metrics_address:
        addresses["telemetry.metrics_address"] = node.telemetry.metrics_address
    return addresses


def _end_faults(end: LinkEnd) -> list[str]:
    faults = _address_faults("address", end.address)
    numbers = Counter(channel.channel for channel in end.channels)
    faults += [f"channels: channel {n} is named {c} times" for n, c in numbers.items() if c > 1]
    faults += [
        f"channels[{i}]: channel must lie in 0..255 and bit be 0 or 1"
        for i, c in enumerate(end.channels)
        if not 0 <= c.channel <= 255 or c.bit not in (0, 1)
    ]
    present = {(channel.basis, channel.bit) for channel in end.channels}
    missing = [f"{b}{v}" for b in "zx" for v in (0, 1) if (b, v) not in present]
    if missing:
        faults.append(f"channels: no channel for {', '.join(missing)}")
    names = Counter(device.name for device in end.devices)
    faults += [f"devices: {n} is named {c} times" for n, c in names.items() if c > 1]
    taggers = [device.name for device in end.devices if device.kind == "tagger"]
    if len(taggers) != 1:
        faults.append(f"devices: a link end has one tagger, here {len(taggers)}")
    for i, device in enumerate(end.devices):
        scheme, _, rest = device.address.partition(":")
        if scheme not in ("serial", "tcp", "visa") or not rest:
            faults.append(
                f"devices[{i}].address: {device.address!r} is none of serial:PATH, "
                "tcp:HOST:PORT, visa:RESOURCE"
            )
    if end.run_duration_s <= 0:
        faults.append("run_duration_s: must be above zero")
    if end.buffer_limit_mib <= 0:
        faults.append("buffer_limit_mib: must be above zero")
    return faults


def _address_faults(where: str, address: str) -> list[str]:
    try:
        split_address(address)
    except ValueError as error:
        return [f"{where}: {error}"]
    return []


def _tls_faults(tls: Tls) -> list[str]:
    faults = []
    for name in ("ca", "certificate", "key"):
        path = Path(getattr(tls, name))
        if not path.is_file():
            faults.append(f"tls.{name}: no file {path}")
        elif not os.access(path, os.R_OK):
            faults.append(f"tls.{name}: {path} cannot be read by this user")
        elif name == "key" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            faults.append(f"tls.key: {path} can be read by others; chmod 600 it")
    return faults

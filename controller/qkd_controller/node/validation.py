"""Everything that can be said of a node file before it runs, with all faults at once."""

import math
from dataclasses import dataclass
from pathlib import Path

from qkd_controller.config.check import node_faults
from qkd_controller.config.credentials import credential_faults
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.link import LinkFile
from qkd_controller.config.link_check import link_faults
from qkd_controller.config.load import Loaded, read_link, read_node
from qkd_controller.config.node import NodeFile
from qkd_controller.config.parts import Parts, every, link_ends
from qkd_controller.delivery.etsi014 import limit_faults
from qkd_controller.devices.set_points import validate_device
from qkd_controller.distillation.method import cascade_leak_bits, codes_leak_bits
from qkd_controller.security.bounds import released_bits
from qkd_drivers.catalogue import find_model, models


@dataclass(frozen=True)
class Checked:
    """A node file without faults, its link files, and the key that a block of each gives."""

    node: NodeFile
    links: tuple[LinkFile, ...]
    released_bits: tuple[int, ...]


def validate(path: Path) -> Checked:
    """Reads a node file and all it names; raises ConfigError with every fault found."""
    read = read_node(path)
    parts = read.parts
    faults: list[str] = []
    links: list[Parts] = []
    sound: list[tuple[LinkFile, int]] = []
    told: set[str] = set()
    for where in link_ends(parts):
        file = parts.get(f"{where}.link_file", "")
        link = read_link(Path(file)) if file else Loaded[LinkFile](None, {}, [])
        links.append(link.parts)
        own = link.faults + link_faults(link.parts)
        if link.value is not None and not own:
            sound.append((link.value, released_bits(link.value.block, 0, 0)))
            own += _plan_faults(*sound[-1])
        if file not in told:
            faults += [f"{file}: {fault}" for fault in own]
            told.add(file)
    ours = read.faults + node_faults(parts, links) + credential_faults(parts)
    if "delivery" in parts:
        ours += limit_faults(parts["delivery"])
    for where, device in every(parts, "links[].devices[]"):
        ours += [f"{where}: {fault}" for fault in validate_device(device)]
    for where in link_ends(parts):
        ours += _tagger_faults(parts, where)
    faults += [f"{path}: {fault}" for fault in ours]
    if faults or read.value is None:
        raise ConfigError(faults)
    return Checked(read.value, tuple(link for link, _ in sound), tuple(bits for _, bits in sound))


def _plan_faults(link: LinkFile, released: int) -> list[str]:
    block, start = link.block, link.alignment.start_above_qber_ratio
    faults = []
    if released <= block.pad_refill_bits // 8 * 8:
        faults.append(
            f"block: n {block.key_bits}, k {block.test_bits}, Q_tol {block.qber_tolerance_ratio:g} "
            "and this leakage budget leave no key; enlarge the block or tolerate less"
        )
    least = math.ceil(cascade_leak_bits(start, block.key_bits))
    if block.leakage_budget_bits < least:
        faults.append(
            f"block.leakage_budget_bits: {block.leakage_budget_bits} cannot carry the error rate "
            f"{start:g} from which on the link aligns (alignment.start_above_qber_ratio): that "
            f"takes about {least}; blocks would fail while nothing is done about it"
        )
    codes = math.ceil(codes_leak_bits(start, block.key_bits))
    if block.reconciliation == "ldpc" and block.leakage_budget_bits < codes:
        faults.append(
            f"block.reconciliation: ldpc may leak {codes} bits at the error rate {start:g} up to "
            f"which the link runs, and block.leakage_budget_bits is {block.leakage_budget_bits}; "
            'raise that or say "auto"'
        )
    return faults


def _tagger_faults(parts: Parts, where: str) -> list[str]:
    """Channels that the link end's tagger does not have."""
    taggers = [
        device
        for at, device in every(parts, "links[].devices[]")
        if at.startswith(f"{where}.") and device.model in models() and device.kind == "tagger"
    ]
    if len(taggers) != 1:
        return []
    count = getattr(find_model(taggers[0].model).load(), "channel_count", 0)
    return [
        f"{at}.channel: {taggers[0].model} has channels 1 to {count}, not {channel.channel}"
        for at, channel in every(parts, "links[].channels[]")
        if count and at.startswith(f"{where}.") and not 1 <= channel.channel <= count
    ]

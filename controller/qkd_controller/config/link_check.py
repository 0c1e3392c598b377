"""What types cannot say about a link file: each fault a line.

A rule is applied wherever the settings that it needs are sound, whatever else is wrong.
"""

from collections.abc import Callable

from qkd_controller.config.identity import name_fault
from qkd_controller.config.limits import LINK_RANGES, range_faults
from qkd_controller.config.parts import Parts, broken

MIN_PAD_REFILL_BITS = 1280
"""A commit's tags cost 1024 bits of pad; the rest is for checkpoints and failed sessions."""


def link_faults(parts: Parts) -> list[str]:
    """Faults of a link file's settings, one by one and against each other."""
    faults = range_faults(parts, LINK_RANGES)
    if "name" in parts and (fault := name_fault(parts["name"], "link")):
        faults.append(f"name: {fault}")
    nodes = parts.get("nodes")
    if nodes is not None:
        faults += [f"nodes: {fault}" for name in nodes if (fault := name_fault(name, "node"))]
        if nodes[0] == nodes[1]:
            faults.append("nodes: the two ends have the same name")
        faults += [
            f"{role}: {parts[role]!r} is none of the nodes {', '.join(nodes)}"
            for role in _ROLES
            if role in parts and parts[role] not in nodes
        ]
    return faults + [
        message.format(*(parts[name] for name in names))
        for names, holds, message in _RULES
        if broken(parts, holds, *names)
    ]


_ROLES = ("roles.listener", "roles.commit_leader", "roles.time_reference", "roles.bit_reference")

_RULES: tuple[tuple[tuple[str, ...], Callable[..., bool], str], ...] = (
    (
        ("timing.test_slice_every",),
        lambda every: every != 1,
        "timing.test_slice_every: must be 0 (none) or at least 2",
    ),
    (
        ("timing.dead_time_ps", "timing.coincidence_window_ps"),
        lambda dead, window: dead > 2 * window,
        "timing.dead_time_ps: must exceed twice timing.coincidence_window_ps, "
        "or one event could pair with two",
    ),
    (
        ("timing.announce_resolution_ps", "timing.coincidence_window_ps"),
        lambda resolution, window: resolution <= window,
        "timing.announce_resolution_ps: {0} ps is coarser than the coincidence window",
    ),
    (
        ("block.pairs", "block.key_bits", "block.test_bits"),
        lambda pairs, key, test: pairs >= key + test,
        "block.pairs: {0} pairs cannot give {1} + {2} sifted bits",
    ),
    (
        ("block.pad_refill_bits",),
        lambda bits: bits >= MIN_PAD_REFILL_BITS and bits % 16 == 0,
        "block.pad_refill_bits: must be a multiple of 16 and at least "
        f"{MIN_PAD_REFILL_BITS}, or blocks spend more authentication pad than they give back",
    ),
    (
        ("alignment.start_above_qber_ratio", "alignment.alarm_above_qber_ratio"),
        lambda start, alarm: start < alarm,
        "alignment.alarm_above_qber_ratio: {1:g} does not lie above start_above_qber_ratio, {0:g}",
    ),
    (
        ("alignment.alarm_above_qber_ratio", "block.qber_tolerance_ratio"),
        lambda alarm, tolerance: alarm <= tolerance,
        "alignment.alarm_above_qber_ratio: {0:g} lies above block.qber_tolerance_ratio, {1:g}: "
        "blocks would abort without an alarm",
    ),
)

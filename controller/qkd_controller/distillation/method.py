"""Which reconciliation a block takes: Cascade, or LDPC codes.

Cascade leaks less and costs less CPU time, but takes a hundred round trips.
Round trips cost nothing as long as enough bits are in conversation at once, which memory bounds.
So the choice is by what each would make: secret bits a second, were all sifted bits that arrive or
wait to be worked on with at most so many of them in conversation.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from qkd_controller.config.link import BlockPlan
from qkd_controller.security.bounds import binary_entropy

Method = Literal["cascade", "ldpc"]

CATCH_UP_S = 10.0
"""A queue is to be worked off in this time."""

LEAST_LDPC_BITS = 1 << 16
"""Shorter strings are left to Cascade: the number of errors of a short frame varies too much."""

MOST_LDPC_QBER = 0.12
"""The base matrices end a little above."""

CASCADE_F = 1.08
"""What Cascade leaks over the Shannon limit on short blocks, confirmation included."""

LDPC_RESERVE = 1.06
"""What codes leak at most is so many times what they leak on average: further parities, repair."""


@dataclass(frozen=True)
class Point:
    """What a method does at an error rate, on one core at the corrector."""

    qber: float
    bits_per_s: float
    efficiency: float
    round_trips: float
    """Of a string: its slowest frame's."""


MEASURED: dict[Method, tuple[Point, ...]] = {
    "cascade": (
        Point(0.01, 540e6, 1.057, 120),
        Point(0.02, 350e6, 1.063, 101),
        Point(0.03, 255e6, 1.067, 98),
        Point(0.05, 180e6, 1.068, 128),
        Point(0.08, 130e6, 1.073, 206),
        Point(0.10, 105e6, 1.083, 168),
    ),
    "ldpc": (
        Point(0.01, 30e6, 1.14, 3),
        Point(0.02, 40e6, 1.13, 2),
        Point(0.05, 55e6, 1.115, 2),
        Point(0.10, 60e6, 1.11, 2),
    ),
}
"""Rates on a core of Intel Xeon (Sapphire Rapids) with AVX-512, other work beside, of 13.1 Mbit by
Cascade and 6.3 by codes (``python -m benchmarks cascade ldpc``); Cascade's f and rounds are means
of two strings of 13.6 Mbit. A slower machine is slower at both; their ratio is what decides where
both are too slow.
"""


@dataclass(frozen=True)
class Load:
    """What a node has to reconcile, and over what link."""

    arriving_bits_per_s: float
    """Sifted bits."""
    waiting_bits: float
    """Sifted bits in the queue."""
    in_conversation_bits: float
    """As many bits as memory lets both ends work on at once; at least a string."""
    round_trip_s: float
    cores: float = 1.0
    """CPU cores that are free for it."""


def choose_method(
    qber: float,
    string_bits: int,
    load: Load,
    *,
    leakage_budget_bits: float = math.inf,
    forced: Method | None = None,
) -> Method:
    """The method that makes more secret key of this load, Cascade where both make the same.

    qber is the expected one, in [0, 0.5]; forced overrides all but an error rate that no code is
    for. Codes whose leakage may exceed the budget are not chosen. The more a round trip takes, the
    more LDPC is chosen; the more bits may be in conversation, the more Cascade is.
    """
    if qber > MOST_LDPC_QBER:
        return "cascade"
    if forced is not None:
        return forced
    if string_bits < LEAST_LDPC_BITS:
        return "cascade"
    if codes_leak_bits(qber, string_bits) > leakage_budget_bits:
        return "cascade"
    ldpc, cascade = (secret_bits_per_s(method, qber, load) for method in ("ldpc", "cascade"))
    return "ldpc" if ldpc > cascade else "cascade"


def carried_qber_ratio(plan: BlockPlan) -> float:
    """The error rate of the key string, to 0.01 %, up to which the leakage budget is enough.

    Above it, blocks are discarded. Where the method is chosen for each block, Cascade's: codes are
    not chosen where the budget does not carry them.
    """
    leak_bits = codes_leak_bits if plan.reconciliation == "ldpc" else cascade_leak_bits
    above = bisect_right(
        range(5_001),
        plan.leakage_budget_bits,
        key=lambda step: math.ceil(leak_bits(step / 10_000, plan.key_bits)),
    )
    return (above - 1) / 10_000


def cascade_leak_bits(qber: float, string_bits: int) -> float:
    """What Cascade leaks of a string, at most but for the luck of a short one."""
    return CASCADE_F * string_bits * binary_entropy(qber)


def codes_leak_bits(qber: float, string_bits: int) -> float:
    """What LDPC codes may leak of a string at most, further parities and repair included."""
    return LDPC_RESERVE * _at("ldpc", qber).efficiency * string_bits * binary_entropy(qber)


def secret_bits_per_s(method: Method, qber: float, load: Load) -> float:
    """Secret bits a second: sifted bits that get through, less 1 - h for phase errors and f h."""
    point = _at(method, qber)
    demand = load.arriving_bits_per_s + load.waiting_bits / CATCH_UP_S
    secret_share = 1 - (1 + point.efficiency) * binary_entropy(qber)
    return min(demand, _throughput(point, load)) * max(secret_share, 0.0)


def _throughput(point: Point, load: Load) -> float:
    """What the CPU allows, and by Little's law what the bits in conversation do."""
    spent_s = point.round_trips * load.round_trip_s
    in_flight = load.in_conversation_bits / spent_s if spent_s else float("inf")
    return min(point.bits_per_s * load.cores, in_flight)


def _at(method: Method, qber: float) -> Point:
    """Between the points measured, in a straight line; beyond them, the nearest."""
    points = MEASURED[method]
    if qber <= points[0].qber:
        return points[0]
    for low, high in pairwise(points):
        if qber <= high.qber:
            part = (qber - low.qber) / (high.qber - low.qber)
            return Point(
                qber,
                low.bits_per_s + part * (high.bits_per_s - low.bits_per_s),
                low.efficiency + part * (high.efficiency - low.efficiency),
                low.round_trips + part * (high.round_trips - low.round_trips),
            )
    return points[-1]

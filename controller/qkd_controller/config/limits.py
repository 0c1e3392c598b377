"""The range of every number of a configuration, beyond which it can only be a mistake."""

from collections.abc import Mapping
from dataclasses import dataclass

from qkd_controller.config.parts import Parts, unindexed


@dataclass(frozen=True)
class Range:
    """The values a number may have; one that is not finite lies in none."""

    low: float
    high: float
    exclusive: bool = False
    """Neither end itself is allowed."""

    def holds(self, value: float) -> bool:
        """Whether a number may have this value."""
        if self.exclusive:
            return self.low < value < self.high
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.exclusive:
            return f"be above {self.low:g} and below {self.high:g}"
        return f"lie between {_plain(self.low)} and {_plain(self.high)}"


_RATIO = Range(0, 0.5, exclusive=True)
_EPSILON = Range(1e-40, 0.01)
_KEY_BITS = Range(1, 10**8)

LINK_RANGES = {
    "timing.slice_ms": Range(1, 1000),
    "timing.coincidence_window_ps": Range(1, 10**6),
    "timing.announce_resolution_ps": Range(1, 10**6),
    "timing.dead_time_ps": Range(1, 10**9),
    "timing.max_offset_ms": Range(1, 1000),
    "timing.max_drift_ppm": Range(0.001, 1000),
    "timing.search_span_ms": Range(1, 10_000),
    "timing.test_slice_every": Range(0, 10**6),
    "block.pairs": _KEY_BITS,
    "block.key_bits": _KEY_BITS,
    "block.test_bits": _KEY_BITS,
    "block.qber_tolerance_ratio": _RATIO,
    "block.leakage_budget_bits": _KEY_BITS,
    "block.epsilon_secrecy": _EPSILON,
    "block.epsilon_correctness": _EPSILON,
    "block.pad_refill_bits": _KEY_BITS,
    "block.in_flight_mib": Range(1, 1 << 20),
    "alignment.start_above_qber_ratio": _RATIO,
    "alignment.alarm_above_qber_ratio": _RATIO,
    "alignment.sifted_per_probe": Range(1, 10**7),
    "alignment.probe_timeout_s": Range(0.1, 3600),
}
"""Of a link file, by dotted name."""

NODE_RANGES = {
    "links[].run_duration_s": Range(0.1, 3600),
    "links[].buffer_limit_mib": Range(1, 65_536),
    "links[].channels[].channel": Range(0, 255),
    "links[].channels[].bit": Range(0, 1),
    "links[].channels[].delay_ps": Range(-(10**9), 10**9),
}
"""Of a node file, by dotted name; an empty pair of brackets stands for every index."""


def range_faults(parts: Parts, ranges: Mapping[str, Range]) -> list[str]:
    """A line for each number that lies outside its range."""
    faults = []
    for name, value in parts.items():
        allowed = ranges.get(unindexed(name))
        if allowed is not None and not allowed.holds(value):
            faults.append(f"{name}: must {allowed}, is {_plain(value)}")
    return faults


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"

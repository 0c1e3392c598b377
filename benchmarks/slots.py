"""Slot assignment for pulsed links, beside NumPy's floor division."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.slots import SlotTracker

_PERIOD_PS = 1000
_GATE_PS = 200
_MEAN_SLOTS = 100
_JITTER_PS = 60
_BACKGROUND = 0.1


def cases() -> Iterator[Case]:
    limit = harness.copy_bytes_per_s() / 18
    for count, name in ((1 << 14, "cache-resident"), (1 << 23, "streaming")):
        times, channels = tags(count)

        tracker = SlotTracker(_PERIOD_PS, _GATE_PS)
        still = SlotTracker(_PERIOD_PS, _GATE_PS, phase_gain=0, period_gain=0)
        found, wanted = still.assign(times, channels), floor_division(times, channels)
        assert all(np.array_equal(f, w) for f, w in zip(found, wanted, strict=True))
        yield Case(
            "slots",
            f"{count} tags, 1 GHz of slots, 10 Mcps, gate ±200 ps, tracked every 1024, {name}",
            lambda tracker=tracker, times=times, channels=channels: tracker.assign(times, channels),
            (
                Peer(
                    "NumPy floor division, no tracking",
                    lambda times=times, channels=channels: floor_division(times, channels),
                ),
            ),
            "tag",
            count,
            None if name == "cache-resident" else limit,
            "" if name == "cache-resident" else "as bytes copied",
        )


def tags(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Detections of pulses, jittered, and a tenth as many at any time."""
    draw = np.random.default_rng(1)
    slots = np.cumsum(draw.geometric(1 / _MEAN_SLOTS, count))
    offsets = draw.normal(0, _JITTER_PS, count)
    dark = draw.random(count) < _BACKGROUND
    offsets[dark] = draw.uniform(-_PERIOD_PS / 2, _PERIOD_PS / 2, int(dark.sum()))
    times = np.sort(np.rint(slots * _PERIOD_PS + offsets).astype(np.int64))
    return times, draw.integers(0, 4, count, np.uint8)


def floor_division(times: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slots and channels within the gate, of a grid that needs no correction."""
    slots = (times + _PERIOD_PS // 2) // _PERIOD_PS
    within = np.abs(times - slots * _PERIOD_PS) <= _GATE_PS
    return slots[within], channels[within]

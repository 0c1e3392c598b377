"""Slot assignment for pulsed links, beside NumPy's floor division."""

from collections.abc import Iterator
from functools import partial

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
    # A node keeps its buffers; without any, the kernel has pages to find for 9 bytes a tag.
    for count, place in (
        (1 << 14, "cache-resident, into given arrays"),
        (1 << 23, "streaming, into given arrays"),
        (1 << 23, "streaming, into new arrays"),
    ):
        times, channels = tags(count)
        out = None if "new" in place else (np.empty(count, np.int64), np.empty(count, np.uint8))
        tracker = SlotTracker(_PERIOD_PS, _GATE_PS)
        still = SlotTracker(_PERIOD_PS, _GATE_PS, phase_gain=0, period_gain=0)
        found, wanted = still.assign(times, channels), floor_division(times, channels)
        assert all(np.array_equal(f, w) for f, w in zip(found, wanted, strict=True))
        yield Case(
            "slots",
            f"{count} tags, 1 GHz of slots, 10 Mcps, gate ±200 ps, tracked every 1024, {place}",
            partial(tracker.assign, times, channels, out),
            (
                Peer(
                    "NumPy floor division, no tracking",
                    partial(floor_division, times, channels),
                ),
            ),
            "tag",
            count,
            harness.copies_per_s(count, 9 + 9),
            "as bytes copied",
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

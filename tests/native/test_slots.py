"""Slots: exact, however the stream is cut; a loop that finds phase and period and keeps them."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.slots import SlotTracker
from qkd_native.tier import Tier, forced, supported


def pulses(draw, period_ps, count, mean_slots=100, jitter_ps=40, first_ps=0):
    """Slots, in order, and the times of tags in them."""
    slots = np.cumsum(draw.geometric(1 / mean_slots, count))
    return slots, np.rint(first_ps + slots * period_ps + draw.normal(0, jitter_ps, count)).astype(
        np.int64
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.fractions(64, 100_000), st.integers(-(2**45), 2**45))
def test_slots_are_those_of_rational_arithmetic(seed, period_ps, first_ps):
    draw = np.random.default_rng(seed)
    period_ps = Fraction(round(period_ps * 2**32), 2**32)
    times = first_ps + np.sort(draw.integers(-(10**9), 10**12, 100))
    gate_ps = int(period_ps / draw.integers(2, 9))
    channels = draw.integers(0, 256, 100, np.uint8)
    nearest = [(int(t) - first_ps + period_ps / 2) // period_ps for t in times]
    residuals = [int(t) - first_ps - n * period_ps for t, n in zip(times, nearest, strict=True)]
    within = [abs(residual) <= gate_ps for residual in residuals]
    for tier in supported():
        tracker = SlotTracker(period_ps, gate_ps, first_ps, phase_gain=0, period_gain=0, interval=9)
        with forced(tier):
            slots, kept = tracker.assign(times, channels)
        wanted = [n for n, inside in zip(nearest, within, strict=True) if inside]
        assert slots.tolist() == wanted
        assert np.array_equal(kept, channels[within])
        assert tracker.accepted == len(wanted) and tracker.rejected == 100 - len(wanted)
        assert tracker.repeated == sum(a == b for a, b in itertools.pairwise(wanted))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 1000), max_size=5))
def test_neither_cuts_nor_the_tier_matter(seed, cuts):
    draw = np.random.default_rng(seed)
    _, times = pulses(draw, 1000.02, 1000)
    channels = draw.integers(0, 4, 1000, np.uint8)

    def run(bounds):
        tracker = SlotTracker(1000, 300, interval=64)
        parts = [tracker.assign(times[a:b], channels[a:b]) for a, b in itertools.pairwise(bounds)]
        slots, kept = (np.concatenate(part).tolist() for part in zip(*parts, strict=True))
        return slots, kept, tracker.period_ps, tracker.phase_error_ps, tracker.repeated

    with forced(Tier.PORTABLE):
        wanted = run([0, 1000])
    for tier in supported():
        with forced(tier):
            assert run([0, *sorted(cuts), 1000]) == wanted


def test_the_loop_locks_on_to_a_clock_that_is_off_and_wanders():
    draw = np.random.default_rng(1)
    slots, times = pulses(draw, 1000.001, 400_000, jitter_ps=60, first_ps=130)
    seconds = times * 1e-12
    times += np.rint(2000 * np.sin(2 * np.pi * 20 * seconds)).astype(np.int64)  # up to 0.25 ppm
    tracker = SlotTracker(1000, 450)
    found, _ = tracker.assign(times, np.zeros(len(times), np.uint8))
    assert tracker.rejected == 0
    assert np.array_equal(found, slots)
    assert abs(tracker.period_ps - Fraction(1000.001)) < Fraction(1, 2000)
    assert abs(tracker.phase_error_ps) < 30


def test_an_hour_brings_no_drift():
    period_ps = Fraction(10**6, 1001)
    slots = np.arange(0, 3600 * 1001 * 10**6, 10**9 + 7, dtype=np.int64)
    times = np.array([round(int(n) * period_ps) for n in slots], np.int64)
    tracker = SlotTracker(period_ps, 2, phase_gain=0, period_gain=0)
    found, _ = tracker.assign(times, np.zeros(len(times), np.uint8))
    # 3.6e12 slots of a period that is right to 2^-33 ps are 420 ps: less than half a slot.
    assert tracker.accepted < len(slots)
    tracker = SlotTracker(period_ps, 450, phase_gain=0, period_gain=0)
    found, _ = tracker.assign(times, np.zeros(len(times), np.uint8))
    assert np.array_equal(found, slots)
    tracker = SlotTracker(period_ps, 2, interval=1)
    found, _ = tracker.assign(times, np.zeros(len(times), np.uint8))
    assert np.array_equal(found, slots)


def test_the_period_stays_near_what_was_given():
    draw = np.random.default_rng(1)
    times = np.sort(draw.integers(0, 10**9, 10_000))
    tracker = SlotTracker(1000, 500, interval=1, phase_gain=1, period_gain=1)
    tracker.assign(times, np.zeros(10_000, np.uint8))
    assert abs(tracker.period_ps - 1000) <= 1


def test_tags_out_of_reach_are_refused_and_change_nothing():
    tracker = SlotTracker(1000, 100, interval=1)
    tracker.assign(np.array([1001], np.int64), np.zeros(1, np.uint8))
    for far in (2**51 + 2000, -(2**51), 2**63 - 1, -(2**63)):
        for tier in supported():
            with forced(tier), pytest.raises(ValueError, match="too far"):
                tracker.assign(np.full(20, far), np.zeros(20, np.uint8))
    assert tracker.accepted == 1
    assert tracker.assign(np.array([3001], np.int64), np.zeros(1, np.uint8))[0].tolist() == [3]


def test_slots_stand_in_arrays_of_the_callers():
    draw = np.random.default_rng(2)
    slots, times = pulses(draw, 1000, 100)
    channels = draw.integers(0, 4, 100, np.uint8)
    out = np.empty(120, np.int64), np.empty(100, np.uint8)
    for tier in supported():
        with forced(tier):
            found, kept = SlotTracker(1000, 300).assign(times, channels, out)
        assert found.base is out[0] and kept.base is out[1]
        assert np.array_equal(found, slots) and np.array_equal(kept, channels)
    tracker = SlotTracker(1000, 300)
    for bad in (
        (out[0][:99], out[1]),
        (out[0], out[1][:99]),
        (out[0].astype(np.float64), out[1]),
        (np.empty(240, np.int64)[::2], out[1]),
    ):
        with pytest.raises(ValueError, match="out must"):
            tracker.assign(times, channels, bad)
    assert tracker.accepted == tracker.rejected == 0


def test_wrong_arrays_and_settings_are_refused():
    tracker = SlotTracker(1000, 100)
    with pytest.raises(ValueError, match="int64"):
        tracker.assign(np.zeros(2), np.zeros(2, np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one length"):
        tracker.assign(np.zeros(2, np.int64), np.zeros(3, np.uint8))
    for bad in (
        lambda: SlotTracker(63, 1),
        lambda: SlotTracker(2**26, 1),
        lambda: SlotTracker(1000, 501),
        lambda: SlotTracker(1000, -1),
        lambda: SlotTracker(1000, 1, 2**61),
        lambda: SlotTracker(1000, 1, interval=0),
        lambda: SlotTracker(1000, 1, phase_gain=1.1),
        lambda: SlotTracker(1000, 1, period_gain=-0.1),
    ):
        with pytest.raises(ValueError):
            bad()

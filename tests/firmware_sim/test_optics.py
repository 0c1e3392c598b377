"""Optics and clocks against closed formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_firmware_sim.clocks import DriftingClock
from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.optics import correlations, emission, rotation, squeezers
from qkd_firmware_sim.table import Clock, Source

angles = st.floats(-math.pi, math.pi)


@given(st.tuples(angles, angles, angles))
def test_rotations_are_proper(vector: tuple[float, float, float]) -> None:
    r = rotation(vector)
    assert np.allclose(r @ r.T, np.eye(3))
    assert np.linalg.det(r) == pytest.approx(1)


def test_an_aligned_pair_agrees_in_both_bases_and_in_neither_across() -> None:
    assert correlations(0.98, np.eye(3)) == pytest.approx((0.98, 0, 0, 0.98))


@given(angle=angles)
def test_a_turn_about_an_axis_spares_its_own_basis(angle: float) -> None:
    zz, zx, xz, xx = correlations(1.0, rotation((angle, 0, 0)))
    assert (zz, xx) == pytest.approx((1, math.cos(angle)))
    assert (zx, xz) == pytest.approx((0, 0))


def test_a_half_wave_voltage_turns_by_pi() -> None:
    assert np.allclose(squeezers((2500, 0, 0, 0), 2500), np.diag([1, -1, -1]))
    assert np.allclose(squeezers((0, 2500, 0, 0), 2500), np.diag([-1, 1, -1]))


@given(st.floats(0, 1))
def test_intercept_resend_adds_a_quarter_times_its_share(fraction: float) -> None:
    zz, _, _, xx = correlations(1.0, np.eye(3), fraction)
    assert ((1 - zz) / 2, (1 - xx) / 2) == pytest.approx((fraction / 4, fraction / 4))


def test_emission_has_a_threshold_a_slope_and_a_phase_matching_peak() -> None:
    source = Source()
    assert emission(source, 0.02, 25, 45).pair_rate_hz == 0
    full = emission(source, 0.06, 25, 45).pair_rate_hz
    assert full == pytest.approx(441_000)
    assert emission(source, 0.06, 25, 45.8).pair_rate_hz == pytest.approx(full / 2)
    assert emission(source, 0.1, 25, 45).visibility < emission(source, 0.06, 25, 45).visibility


@given(
    error_ppm=st.floats(-20, 20),
    steps=st.lists(st.integers(1, 10**11), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
)
def test_a_clock_is_continuous_and_monotone(error_ppm: float, steps: list[int], seed: int) -> None:
    clock = DriftingClock(Clock(error_ppm=error_ppm, wander_ppb=50), np.random.default_rng(seed))
    now = 0
    last = clock.step_to(0)
    for step in steps:
        middle, end = clock.to_own(np.array([now + step // 2, now + step]))
        now += step
        reading = clock.step_to(now)
        assert last <= middle <= end
        assert abs(reading - end) <= 1
        last = reading


def test_a_clock_keeps_its_mean_error() -> None:
    clock = DriftingClock(Clock(error_ppm=11.3, wander_ppb=0), np.random.default_rng(0))
    for i in range(1, 1001):
        clock.step_to(i * PS_PER_S)
    assert clock.step_to(1000 * PS_PER_S) == 1000 * PS_PER_S + 11_300_000_000

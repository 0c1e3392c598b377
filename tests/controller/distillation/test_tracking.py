"""A clock that is followed stays within the window, and is given up when its light is gone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.distillation.clock import ClockFit, ClockModel
from qkd_controller.distillation.tracking import ClockTracker

PS = 10**12
WINDOW_PS = 3000


def tracker(jitter=700.0):
    fit = ClockFit(ClockModel(0, 0, 0.0), 50.0, 4000, jitter, PS // 2)
    return ClockTracker(fit, PS // 10)


def counted(residuals):
    """How many of them each value within the window has; pairs are never further apart."""
    residuals = residuals[np.abs(residuals) <= WINDOW_PS]
    return np.bincount(residuals + WINDOW_PS, minlength=2 * WINDOW_PS + 1).astype(np.uint32)


@given(st.lists(st.integers(-40, 40), min_size=3, max_size=60))
def test_an_update_rests_on_the_exact_median_and_its_median_distance(values):
    """As NumPy would find them in the residuals themselves."""
    counts = np.bincount(np.array(values) + 40, minlength=81).astype(np.uint32)
    follower = tracker()
    follower.update(0, counts)
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))
    assert follower.residual_rms_ps == pytest.approx(max(spread, 1.0))
    trusted = ClockTracker(ClockFit(ClockModel(0, 0, 0.0), 50.0, 1, 1e9, PS // 2), PS // 10)
    trusted.update(0, counts)
    assert trusted.model.offset_ps == pytest.approx(median, abs=0.51)


@pytest.mark.parametrize(("swing", "period_s"), [(5e-9, 12.0), (1e-7, 40.0)])
def test_a_frequency_that_wanders_is_followed(swing, period_s):
    rng = np.random.default_rng(2)
    follower = tracker()
    worst = 0.0
    for index in range(400):
        times = np.sort(rng.integers(index * PS // 10, (index + 1) * PS // 10, 500))
        phase = 2 * np.pi * times / PS / period_s
        wander = swing * period_s / (2 * np.pi) * (1 - np.cos(phase)) * PS
        reference = times + np.rint(wander + rng.normal(0, 700, 500)).astype(np.int64)
        residuals = reference - follower.model.to_reference(times)
        accidental = rng.random(500) < 0.1
        residuals[accidental] = rng.integers(-WINDOW_PS, WINDOW_PS, accidental.sum())
        if index > 5:
            worst = max(worst, abs(float(np.median(residuals))))
        follower.update(int(times[250]), counted(residuals))
        assert follower.judge(500, 50.0) is None
    assert worst < 500
    assert 500 < follower.residual_rms_ps < 1000


def test_a_lock_is_lost_when_coincidences_vanish_and_kept_when_they_only_drop():
    follower = tracker()
    for coincidences in (800, 790, 200, 40, 500):
        assert follower.judge(coincidences, 8.0) is None
    loss = follower.judge(7, 8.0)
    assert loss is not None and "vanished" in loss.cause


def test_few_counts_are_judged_together():
    follower = ClockTracker(
        ClockFit(ClockModel(0, 0, 0.0), 9.0, 40, 700.0, PS), PS // 10
    )  # four pairs a slice
    for coincidences in (4, 2, 5, 0, 3, 6, 4, 1):
        assert follower.judge(coincidences, 0.5) is None
    verdicts = [follower.judge(0, 0.5) for _ in range(10)]
    assert verdicts[0] is None and any(verdicts)

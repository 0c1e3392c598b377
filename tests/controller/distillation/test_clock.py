"""A clock model's arithmetic is exact, and a significance bounds the chance of its count."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.distillation.clock import ClockModel, significance

PS = 10**12

models = st.builds(
    ClockModel,
    st.integers(-(10**15), 10**15),
    st.integers(-(10**14), 10**14),
    st.floats(-2e-5, 2e-5),
)


@given(models, st.integers(-(10**15), 10**15))
def test_times_map_exactly_and_back_to_one_picosecond(model, time):
    mapped = model.to_reference_ps(time)
    assert abs(model.to_announced_ps(mapped) - time) <= 1
    array = model.to_reference(np.array([time, time + 1, time + 12_345], np.int64))
    assert array[0] == mapped
    assert np.all(np.diff(array) >= 0)
    moved = model.at(time)
    assert abs(moved.to_reference_ps(time + 10**12) - model.to_reference_ps(time + 10**12)) <= 1


def test_no_picosecond_is_lost_after_a_day():
    model = ClockModel(0, 7, 0.0)
    day = 86_400 * PS
    assert model.to_reference(np.array([day + 1], np.int64))[0] == day + 8


def test_significance_is_a_bound_on_the_poisson_tail():
    assert significance(100, 100) == 0
    assert significance(50, 100) < 0 < significance(150, 100)
    # P(X >= 25 | mean 3) is below exp(-sigma²/2).
    tail, term = 0.0, np.exp(-3.0)
    for count in range(200):
        tail += term if count >= 25 else 0.0
        term *= 3.0 / (count + 1)
    assert tail <= np.exp(-(significance(25, 3.0) ** 2) / 2)

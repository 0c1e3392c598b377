"""The dither: uniform over the step, independent from tag to tag, alike in every tier."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.dither import Dither
from qkd_native.tier import Tier, forced, supported

KEY = bytes(range(32))
COUNT = 1 << 18


def drawn(step_ps: int) -> np.ndarray:
    """What a fixed key adds to many times, in calls of odd lengths."""
    dither, parts = Dither(step_ps, KEY), []
    times = np.arange(COUNT, dtype=np.int64) * 10**6
    for part in np.array_split(times, 7):
        parts.append(dither.add(part) - part)
    return np.concatenate(parts)


@pytest.mark.parametrize("step_ps", [2, 4, 81, 1000])
def test_it_is_uniform_over_the_step(step_ps):
    """Chi-square of the counts by value, and the mean, five standard deviations wide."""
    added = drawn(step_ps)
    counts = np.bincount(added, minlength=step_ps)
    assert len(counts) == step_ps
    expected = COUNT / step_ps
    freedom = step_ps - 1
    chi_square = float(np.sum((counts - expected) ** 2) / expected)
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom) + 5
    sigma = np.sqrt((step_ps**2 - 1) / 12 / COUNT)
    assert abs(added.mean() - (step_ps - 1) / 2) < 5 * sigma


def test_tags_are_dithered_independently():
    """No correlation at any lag up to some batches, nor with the tag's place in a batch."""
    added = drawn(1000)
    centred = (added - added.mean()) / added.std()
    for lag in range(1, 400):
        assert abs(np.mean(centred[lag:] * centred[:-lag])) < 5.5 / np.sqrt(COUNT)
    places = centred[: COUNT // 7 // 128 * 128].reshape(-1, 128).mean(axis=0)
    assert np.all(np.abs(places) < 5.5 / np.sqrt(COUNT // 7 / 128))


def test_two_of_them_have_nothing_in_common():
    """Each draws a key of its own, and a call never repeats what an earlier one gave."""
    times = np.zeros(4096, np.int64)
    one, other = Dither(1 << 31), Dither(1 << 31)
    seen = np.concatenate([one.add(times), other.add(times), one.add(times)])
    # Of 12288 numbers below 2^31 some 0.035 pairs coincide by chance.
    assert len(np.unique(seen)) > len(seen) - 4


@given(st.integers(0, 600), st.integers(1, 2**32 - 1), st.binary(min_size=32, max_size=32))
def test_every_tier_is_the_portable_one(count, step_ps, key):
    times = np.arange(count, dtype=np.int64) * 12345 - 10**6
    with forced(Tier.PORTABLE):
        wanted = Dither(step_ps, key).add(times)
    assert np.all((wanted >= times) & (wanted < times + step_ps))
    for tier in supported():
        with forced(tier):
            assert np.array_equal(Dither(step_ps, key).add(times), wanted)
            in_place = times.copy()
            Dither(step_ps, key).add(in_place, in_place)
            assert np.array_equal(in_place, wanted)


def test_what_it_cannot_take_is_refused():
    with pytest.raises(ValueError, match="step"):
        Dither(0)
    with pytest.raises(ValueError, match="32 bytes"):
        Dither(4, b"short")
    with pytest.raises(ValueError, match="int64"):
        Dither(4).add(np.zeros(3))
    with pytest.raises(ValueError, match="length"):
        Dither(4).add(np.zeros(3, np.int64), np.zeros(4, np.int64))

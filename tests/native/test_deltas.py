"""Delta coding: there and back, near the entropy, and nothing but its own codings accepted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.deltas import decode, encode
from qkd_native.tier import Tier, forced, supported

values = st.lists(st.integers(0, 2**62), max_size=50).map(sorted)


@given(values)
def test_there_and_back(numbers):
    array = np.array(numbers, np.int64)
    start = numbers[0] if numbers else 0
    assert np.array_equal(decode(encode(array), len(array)), array)
    assert np.array_equal(decode(encode(array, start), len(array), start), array)


@given(st.binary(max_size=40), st.integers(-2, 50), st.sampled_from([0, -(2**63), 2**63 - 1]))
def test_accepted_bytes_are_the_only_coding_of_their_values(data, count, start):
    try:
        array = decode(data, count, start)
    except ValueError:
        return
    assert encode(array, start) == data


@given(values, st.data())
def test_a_changed_bit_is_refused_or_means_something_else(numbers, data):
    array = np.array(numbers, np.int64)
    coding = bytearray(encode(array))
    if not coding:
        return
    bit = data.draw(st.integers(0, 8 * len(coding) - 1))
    coding[bit // 8] ^= 1 << bit % 8
    try:
        other = decode(bytes(coding), len(array))
    except ValueError:
        return
    assert encode(other) == coding
    assert not np.array_equal(other, array)


def test_falling_values_and_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="decrease"):
        encode(np.array([3, 2], np.int64))
    with pytest.raises(ValueError, match="rise"):
        encode(np.array([-1, 2**63 - 1], np.int64), -1)
    with pytest.raises(ValueError, match="cannot hold"):
        decode(b"\x01", 10**15)
    with pytest.raises(ValueError, match="not a coding"):
        decode(b"\x00\x01\x01", 1)


@pytest.mark.parametrize("mean_ticks", [20, 8000, 1e7])
def test_poisson_gaps_take_little_more_than_their_entropy(mean_ticks):
    ticks = np.cumsum(np.random.default_rng(1).exponential(mean_ticks, 10_000)).astype(np.int64)
    entropy_bits = math.log2(math.e * mean_ticks)
    assert 8 * len(encode(ticks)) < 1.05 * entropy_bits * len(ticks)


def test_a_gap_out_of_proportion_costs_its_own_block_alone():
    even = np.arange(0, 10_000 * 64, 64, dtype=np.int64)
    torn = even + np.where(np.arange(10_000) < 5000, 0, 2**60)
    assert len(encode(torn)) - len(encode(even)) < 256 * 8


@given(st.integers(0, 2**32), st.integers(0, 2000), st.integers(0, 50), st.integers(0, 5))
def test_every_tier_is_the_portable_one(seed, size, bits, spoilt):
    draw = np.random.default_rng(seed)
    wide = draw.random(size) < draw.choice([0, 0.002, 0.1])
    steps = draw.integers(0, np.where(wide, 2**50, 2**bits), size)
    array = np.cumsum(steps, dtype=np.int64)
    with forced(Tier.PORTABLE):
        coding = encode(array)
    bad = bytearray(coding)
    for at in draw.integers(0, max(len(bad), 1), spoilt if bad else 0):
        bad[at] ^= draw.choice([1, 0x80, 0xFF, bad[at]])

    def verdict():
        try:
            return decode(bytes(bad), size).tolist()
        except ValueError as refusal:
            return str(refusal)

    with forced(Tier.PORTABLE):
        wanted = verdict()
    for tier in supported():
        with forced(tier):
            assert encode(array) == coding
            assert np.array_equal(decode(coding, size), array)
            assert verdict() == wanted

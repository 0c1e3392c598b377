"""Delta coding: there and back, and nothing but its own codings accepted."""

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
    try:
        again = encode(array, start)
    except ValueError:  # a step of 2^63 or more from a negative start
        assert start < 0
        return
    assert again == data


def test_falling_values_and_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="decrease"):
        encode(np.array([3, 2], np.int64))
    with pytest.raises(ValueError, match="cannot hold"):
        decode(b"\x01", 10**15)
    with pytest.raises(ValueError, match="not a coding"):
        decode(b"\x01\x01", 1)


def test_times_at_a_hundred_kcps_take_under_three_bytes():
    ticks = np.cumsum(np.random.default_rng(1).exponential(20_000, 10_000)).astype(np.int64)
    assert len(encode(ticks)) < 3 * len(ticks)


@given(st.integers(0, 2**32), st.integers(0, 2000), st.integers(1, 62), st.integers(0, 5))
def test_every_tier_is_the_portable_one(seed, size, bits, spoilt):
    draw = np.random.default_rng(seed)
    short = draw.random(size) < 0.9
    steps = draw.integers(0, np.where(short, 2**14, 2 ** (bits if bits < 52 else 51)), size)
    array = np.cumsum(steps, dtype=np.int64)
    with forced(Tier.PORTABLE):
        coding = encode(array)
    bad = bytearray(coding)
    for at in draw.integers(0, max(len(bad), 1), spoilt if bad else 0):
        bad[at] = draw.choice([0, 0x80, 0xFF, bad[at] ^ 0x80])

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

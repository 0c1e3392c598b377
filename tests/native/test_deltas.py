"""Delta coding: there and back, and nothing but its own codings accepted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.deltas import decode, encode

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

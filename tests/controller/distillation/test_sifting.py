"""Sifting: equal bases at both ends, and subsets that both ends draw alike and evenly."""

import hashlib
import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.distillation.sifting import choose_subset, compare
from qkd_native.bits import BitString


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=100))
def test_codes_are_compared_where_bases_are_equal(pairs):
    alice = np.array([a for a, _ in pairs], np.uint8)
    bob = np.array([b for _, b in pairs], np.uint8)
    for basis, found in enumerate(compare(alice, bob)):
        sifted = [(a ^ b) & 1 for a, b in pairs if a >> 1 & 1 == basis == b >> 1 & 1]
        assert found == (len(sifted), sum(sifted))


def chosen_of(seed, domain, count, quota):
    """The indices of a subset, found by cutting strings of their digits to it."""
    subset = choose_subset(seed, domain, count, quota)
    assert len(subset.listed) == min(quota, count - quota)
    assert np.all(np.diff(subset.listed) > 0)
    indices = np.zeros(quota, np.int64)
    for digit in range(count.bit_length()):
        string = BitString.of((np.arange(count) >> digit & 1).astype(np.uint8))
        subset.cut(string)
        indices |= string.unpacked().astype(np.int64) << digit
    return indices


@given(st.binary(max_size=32), st.integers(0, 300), st.data())
def test_a_subset_has_its_size_and_is_fixed_by_the_seed(seed, count, data):
    quota = data.draw(st.integers(0, count))
    chosen = chosen_of(seed, "z", count, quota)
    assert len(chosen) == len(set(chosen.tolist())) == quota
    assert np.all(np.diff(chosen) > 0)
    assert not quota or (chosen[0] >= 0 and chosen[-1] < count)
    assert np.array_equal(chosen, chosen_of(seed, "z", count, quota))


def test_every_index_is_chosen_equally_often_and_domains_differ():
    draws = [chosen_of(i.to_bytes(4, "little"), "z", 40, 10) for i in range(2000)]
    counts = np.bincount(np.concatenate(draws), minlength=40)
    assert np.all(np.abs(counts - 500) < 5 * np.sqrt(500 * 0.75))
    assert not np.array_equal(chosen_of(b"s", "z", 999, 99), chosen_of(b"s", "x", 999, 99))


@pytest.mark.parametrize(("count", "quota"), [(5, 2), (6, 3), (6, 4), (9, 1), (9, 8)])
def test_every_subset_is_equally_likely(count, quota):
    """Chi-square over all subsets, 5 sigma."""
    subsets = {s: 0 for s in itertools.combinations(range(count), quota)}
    trials = 200 * len(subsets)
    for i in range(trials):
        subsets[tuple(chosen_of(i.to_bytes(4, "little"), "z", count, quota).tolist())] += 1
    chi_square = sum((n - 200) ** 2 / 200 for n in subsets.values())
    freedom = len(subsets) - 1
    assert chi_square < freedom + 5 * math.sqrt(2 * freedom) + 8


@given(st.binary(max_size=8), st.integers(1, 100), st.data())
def test_the_smaller_part_is_the_first_distinct_indices_of_the_stream(seed, count, data):
    quota = data.draw(st.integers(0, count))
    stream = hashlib.shake_256(b"\1\0\0\0z" + count.to_bytes(8, "little") + seed).digest(1 << 16)
    mask = (1 << (count - 1).bit_length()) - 1
    drawn = [w & mask for (w,) in struct.iter_unpack("<I", stream)]
    distinct = list(dict.fromkeys(i for i in drawn if i < count))
    smaller = set(distinct[: min(quota, count - quota)])
    kept = smaller if quota <= count - quota else set(range(count)) - smaller
    assert chosen_of(seed, "z", count, quota).tolist() == sorted(kept)


def test_a_known_subset_stays_what_it_was():
    assert chosen_of(b"seed", "cut z", 20, 6).tolist() == [11, 13, 14, 16, 17, 19]
    with pytest.raises(ValueError, match="cannot choose"):
        choose_subset(b"", "z", 3, 4)
    with pytest.raises(ValueError, match="cannot be one of 4"):
        choose_subset(b"", "z", 3, 2).cut(BitString.zeros(4))

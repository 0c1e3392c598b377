"""Sifting: equal bases at both ends, and subsets that both ends draw alike and evenly."""

import hashlib
import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.distillation.sifting import choose_subset, pack_bases, sift, unpack_bases

codes = st.lists(st.integers(0, 7), max_size=100).map(lambda c: np.array(c, np.uint8))


@given(codes)
def test_bases_travel_packed(own):
    packed = pack_bases(own)
    assert np.array_equal(unpack_bases(packed, len(own)), own >> 1 & 1)
    assert len(packed) == (len(own) + 7) // 8


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=100))
def test_sifted_strings_hold_the_events_of_equal_bases_in_order(pairs):
    alice = np.array([a for a, _ in pairs], np.uint8)
    bob = np.array([b for _, b in pairs], np.uint8)
    strings = sift(alice, unpack_bases(pack_bases(bob), len(bob)))
    for basis, name in enumerate(("z", "x")):
        expected = [a & 1 for a, b in pairs if a >> 1 & 1 == basis == b >> 1 & 1]
        assert strings[name].tolist() == expected


def test_malformed_bases_are_refused():
    with pytest.raises(ValueError, match="do not hold"):
        unpack_bases(b"\0\0", 8)
    with pytest.raises(ValueError, match="beyond"):
        unpack_bases(b"\x10", 4)
    with pytest.raises(ValueError, match="bases of the peer"):
        sift(np.zeros(3, np.uint8), np.zeros(2, np.uint8))


def chosen_of(seed, domain, count, quota):
    """The indices of a subset, found by picking."""
    subset = choose_subset(seed, domain, count, quota)
    assert len(subset.listed) == min(quota, count - quota)
    assert np.all(np.diff(subset.listed) > 0)
    low, high = (
        subset.pick(digit.astype(np.uint8)) for digit in np.divmod(np.arange(count), 256)[::-1]
    )
    return low + high.astype(np.int64) * 256


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
    with pytest.raises(ValueError, match="cannot pick"):
        choose_subset(b"", "z", 3, 2).pick(np.zeros(4, np.uint8))

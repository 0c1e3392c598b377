"""The sift against a plain reading, in both forms and in every version."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.sifting import drop, pack_bases, sift, sift_packed, take
from qkd_native.tier import forced, supported


@given(st.integers(0, 2**32), st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]))
def test_events_of_equal_bases_are_kept_in_order(seed, count, agree):
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, 256, count, np.uint8)
    bases = codes >> 1 & 1
    peer = np.where(draw.random(count) < agree, bases, 1 - bases).astype(np.uint8)
    wanted = [codes[(bases == peer) & (bases == basis)] & 1 for basis in (0, 1)]
    packed_peer = np.packbits(peer, bitorder="little")
    for tier in supported():
        with forced(tier):
            found = sift(codes, packed_peer)
            packed = sift_packed(codes, packed_peer.tobytes())
            assert pack_bases(codes) == np.packbits(bases, bitorder="little").tobytes()
        for bits, string, right in zip(found, packed, wanted, strict=True):
            assert np.array_equal(bits, right)
            assert string.length == len(right)
            assert np.array_equal(string.data, np.packbits(right, bitorder="little"))


def test_codes_are_taken_by_index():
    codes = np.arange(10, dtype=np.uint8)
    assert take(codes, np.array([9, 0, 0, 4])).tolist() == [9, 0, 0, 4]
    assert len(take(codes[:0], np.array([], np.int64))) == 0
    for outside in (-1, 10, 2**62):
        with pytest.raises(ValueError, match="outside"):
            take(codes, np.array([1, outside]))


@given(st.integers(0, 300), st.sets(st.integers(0, 299)))
def test_codes_are_dropped_by_index(count, places):
    codes = np.arange(count).astype(np.uint8)
    dropped = np.array(sorted(place for place in places if place < count), np.int64)
    assert np.array_equal(drop(codes, dropped), np.delete(codes, dropped))


@pytest.mark.parametrize("indices", [[-1], [3], [1, 1], [2, 0], [0, 1, 2, 3]])
def test_indices_to_drop_must_rise_within_the_codes(indices):
    with pytest.raises(ValueError, match="3 events"):
        drop(np.zeros(3, np.uint8), np.array(indices, np.int64))


def test_wrong_arrays_are_refused():
    codes = np.zeros(9, np.uint8)
    with pytest.raises(ValueError, match="1 bytes of bases for 9"):
        sift(codes, b"\0")
    with pytest.raises(ValueError, match="flat uint8"):
        sift(codes.astype(np.int64), b"\0\0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flat uint8"):
        sift_packed(codes, np.zeros(2, np.int8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="int64"):
        take(codes, np.zeros(2, np.int32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="int64"):
        drop(codes, np.zeros(2, np.int32))  # type: ignore[arg-type]

"""The sift against a plain reading, in every version."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.bits import BitString
from qkd_native.sifting import sift, take, take_apart
from qkd_native.tier import forced, supported


@given(st.integers(0, 2**32), st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]))
def test_events_of_equal_bases_are_kept_in_order(seed, count, agree):
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, 256, count, np.uint8)
    own = codes >> 1 & 1
    peer = np.where(draw.random(count) < agree, own, 1 - own).astype(np.uint8)
    wanted = [codes[(own == peer) & (own == basis)] & 1 for basis in (0, 1)]
    for tier in supported():
        bits, bases, used = BitString.zeros(count), BitString.zeros(count), codes.copy()
        with forced(tier):
            assert take_apart(used, bits, bases) == np.count_nonzero(codes & 4)
            assert not used.any(), "the codes are wiped"
            assert np.array_equal(bits.unpacked(), codes & 1)
            assert np.array_equal(bases.unpacked(), own)
            found = sift(bits, bases, np.packbits(peer, bitorder="little").tobytes())
        for string, memory, right in zip(found, (bits, bases), wanted, strict=True):
            assert np.array_equal(string.unpacked(), right)
            assert not memory.words[string.words.size :].any(), "nothing is left behind"


def test_codes_are_taken_by_index():
    codes = np.arange(10, dtype=np.uint8)
    assert take(codes, np.array([9, 0, 0, 4])).tolist() == [9, 0, 0, 4]
    assert len(take(codes[:0], np.array([], np.int64))) == 0
    for outside in (-1, 10, 2**62):
        with pytest.raises(ValueError, match="outside"):
            take(codes, np.array([1, outside]))


def test_wrong_arrays_are_refused():
    codes, nine = np.zeros(9, np.uint8), BitString.zeros(9)
    with pytest.raises(ValueError, match="1 bytes of the peer"):
        sift(nine, BitString.zeros(9), b"\0")
    with pytest.raises(ValueError, match="8 bases"):
        sift(nine, BitString.zeros(8), b"\0\0")
    with pytest.raises(ValueError, match="flat uint8"):
        take_apart(codes.astype(np.int64), nine, nine)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="8 bits for 9 events"):
        take_apart(codes, nine, BitString.zeros(8))
    for unfit in (np.zeros(18, np.uint8)[::2], np.frombuffer(bytes(9), np.uint8)):
        with pytest.raises(ValueError, match="contiguous and writeable"):
            take_apart(unfit, nine, BitString.zeros(9))
    with pytest.raises(ValueError, match="int64"):
        take(codes, np.zeros(2, np.int32))  # type: ignore[arg-type]

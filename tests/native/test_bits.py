"""Packed strings against the same bits one a byte, in every tier."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qkd_native.bits import BitString, wipe, words_for
from qkd_native.tier import forced, supported

bits_of_any_length = st.integers(0, 700).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.integers(0, 1))
)


@given(bits_of_any_length)
def test_bits_come_back_as_they_went_in(bits):
    string = BitString.of(bits)
    assert string.size == bits.size
    assert string.words.size == words_for(bits.size) == -(-bits.size // 64)
    assert np.array_equal(string.unpacked(), bits)
    assert string.to_bytes() == np.packbits(bits, bitorder="little").tobytes()
    again = BitString.from_bytes(string.to_bytes(), string.size)
    assert np.array_equal(again.words, string.words)
    assert BitString(string.words, string.size).words is string.words


@given(bits_of_any_length)
def test_nothing_stands_beyond_the_last_bit(bits):
    string = BitString.of(bits)
    if rest := bits.size % 64:
        assert int(string.words[-1]) >> rest == 0
        string.words[-1] |= np.uint64(1 << rest)
        with pytest.raises(ValueError, match="beyond the last"):
            BitString(string.words, string.size)
    if bits.size % 8:
        full = bytes([0xFF] * -(-bits.size // 8))
        with pytest.raises(ValueError, match="beyond the last"):
            BitString.from_bytes(full, bits.size)


@given(st.integers(0, 2**32), st.integers(0, 700), st.floats(0, 1), st.booleans())
def test_bits_are_kept_by_their_indices_or_all_others_are(seed, size, share, rest):
    draw = np.random.default_rng(seed)
    bits = draw.integers(0, 2, size, np.uint8)
    listed = np.flatnonzero(draw.random(size) < share)
    wanted = np.delete(bits, listed) if rest else bits[listed]
    for tier in supported():
        string = BitString.of(bits)
        memory = string.words
        with forced(tier):
            string.keep(listed, rest=rest)
        assert np.array_equal(string.unpacked(), wanted)
        assert not memory[string.words.size :].any(), "nothing is left behind"
        assert BitString(string.words, string.size).size == wanted.size


@pytest.mark.parametrize("listed", [[-1], [3], [1, 1], [2, 0], [2**62]])
def test_indices_must_rise_within_the_string(listed):
    string = BitString.of(np.array([1, 0, 1], np.uint8))
    with pytest.raises(ValueError, match="within 3 bits"):
        string.keep(np.array(listed, np.int64))
    assert string.unpacked().tolist() == [1, 0, 1]


@given(st.integers(0, 2**32), st.integers(0, 700))
def test_differing_bits_are_counted(seed, size):
    a, b = np.random.default_rng(seed).integers(0, 2, (2, size), np.uint8)
    for tier in supported():
        with forced(tier):
            assert BitString.of(a).differing(BitString.of(b)) == np.count_nonzero(a != b)


@given(st.integers(0, 2**32), st.integers(0, 300))
def test_two_strings_are_woven_by_turns(seed, size):
    pair = np.random.default_rng(seed).integers(0, 2, (size, 2), np.uint8)
    woven = BitString.of(pair[:, 0]).woven(BitString.of(pair[:, 1]))
    assert np.array_equal(woven.unpacked(), pair.ravel())


@given(st.integers(0, 2**32), st.lists(st.integers(0, 4), max_size=5), st.integers(0, 200))
def test_parts_share_their_words_and_are_joined_again(seed, lengths, last):
    draw = np.random.default_rng(seed)
    parts = [draw.integers(0, 2, size, np.uint8) for size in [*(64 * n for n in lengths), last]]
    whole = BitString.joined([BitString.of(part) for part in parts])
    assert np.array_equal(whole.unpacked(), np.concatenate(parts))
    begin = 0
    for part in parts:
        found = whole.part(begin, begin + part.size)
        assert np.array_equal(found.unpacked(), part)
        assert not part.size or np.shares_memory(found.words, whole.words)
        begin += part.size


def test_a_string_and_its_copy_are_wiped_apart():
    string = BitString.of(np.ones(100, np.uint8))
    memory = np.full(2, 7, np.uint64)
    copy = string.copy(memory)
    assert copy.words is memory and string.copy().differing(copy) == 0
    string.wipe()
    assert not string.words.any() and copy.unpacked().all()
    wipe(memory)
    assert not copy.words.any()


def test_what_is_no_packed_string_is_refused():
    for words in (np.zeros(1, np.uint64), np.zeros(2, np.int64), np.zeros((1, 2), np.uint64)):
        with pytest.raises(ValueError, match="2 64-bit words"):
            BitString(words, 65)
    with pytest.raises(ValueError, match="bytes"):
        BitString.from_bytes(b"\0", 9)
    string = BitString.zeros(130)
    for begin, end in ((1, 64), (0, 65), (64, 0), (0, 131)):
        with pytest.raises(ValueError):
            string.part(begin, end)
    with pytest.raises(ValueError, match="only the last"):
        BitString.joined([string, string])
    with pytest.raises(ValueError, match="130 and 1 bits"):
        string.differing(BitString.zeros(1))
    with pytest.raises(ValueError, match="130 and 1 bits"):
        string.woven(BitString.zeros(1))
    with pytest.raises(ValueError, match="int64"):
        string.keep(np.zeros(1, np.int32))  # type: ignore[arg-type]

"""The polynomial hash against Python integers, in every tier, however the message is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.mac import PolyHash, collision_bound, frame_hashes, poly_hash
from qkd_native.tier import Tier, forced, supported

MODULUS = 1 << 128 | 0x87
KEYS = st.binary(min_size=16, max_size=16)


def multiply(a: int, b: int) -> int:
    product = 0
    for i in range(128):
        if b >> i & 1:
            product ^= a << i
    for i in range(254, 127, -1):
        if product >> i & 1:
            product ^= MODULUS << (i - 128)
    return product


def oracle(key: bytes, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % 16) + (8 * len(data)).to_bytes(16, "little")
    state = 0
    for i in range(0, len(padded), 16):
        block = int.from_bytes(padded[i : i + 16], "little")
        state = multiply(state ^ block, int.from_bytes(key, "little"))
    return state.to_bytes(16, "little")


@pytest.mark.parametrize("tier", supported())
@given(key=KEYS, data=st.binary(max_size=200))
def test_equals_the_definition(tier: Tier, key: bytes, data: bytes) -> None:
    with forced(tier):
        assert poly_hash(key, data) == oracle(key, data)


@pytest.mark.parametrize("tier", supported())
@given(
    key=KEYS,
    pieces=st.lists(st.binary(max_size=40) | st.binary(min_size=700, max_size=900), max_size=4),
)
def test_only_the_concatenation_matters(tier: Tier, key: bytes, pieces: list[bytes]) -> None:
    with forced(Tier.PORTABLE):
        expected = poly_hash(key, b"".join(pieces))
    with forced(tier):
        state = PolyHash(key)
        for piece in pieces:
            state.update(memoryview(b"?" + piece)[1:])
        assert state.digest() == expected


@pytest.mark.parametrize("tier", supported())
@pytest.mark.parametrize("size", [0, 15, 16, 511, 512, 513, 5000])
def test_all_ones_are_reduced_alike(tier: Tier, size: int) -> None:
    key, data = b"\xff" * 16, b"\xff" * size
    with forced(tier):
        assert poly_hash(key, data) == oracle(key, data)


def test_the_bound_counts_the_length_block() -> None:
    assert collision_bound(0) == 2.0**-128
    assert collision_bound(17) == 3 * 2.0**-128


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError):
        PolyHash(b"short")


@pytest.mark.parametrize("tier", supported())
@given(
    key=KEYS,
    bits=st.integers(0, 3000),
    frame_bits=st.integers(1, 3100),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_frame_is_hashed_as_if_it_stood_alone(
    tier: Tier, key: bytes, bits: int, frame_bits: int, seed: int
) -> None:
    string = np.random.default_rng(seed).integers(0, 2, bits, np.uint8)
    with forced(tier):
        hashes = frame_hashes(key, np.packbits(string, bitorder="little"), bits, frame_bits)
        expected = [
            poly_hash(key, np.packbits(string[i : i + frame_bits], bitorder="little").data)
            for i in range(0, bits, frame_bits)
        ]
    assert [bytes(row) for row in hashes] == expected


def test_a_frame_longer_than_a_piece_is_one_hash() -> None:
    string = np.random.default_rng(1).integers(0, 2, 200_003, np.uint8)
    packed = np.packbits(string, bitorder="little")
    whole = frame_hashes(b"k" * 16, packed, string.size, string.size)
    assert bytes(whole[0]) == poly_hash(b"k" * 16, packed.data)
    first, second = frame_hashes(b"k" * 16, packed, string.size, 150_001)
    assert bytes(second) == poly_hash(
        b"k" * 16, np.packbits(string[150_001:], bitorder="little").data
    )
    assert bytes(first) != bytes(second)


def test_a_string_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="packed"):
        frame_hashes(bytes(16), np.zeros(3, np.uint8), 25, 8)
    with pytest.raises(ValueError, match="at least one bit"):
        frame_hashes(bytes(16), np.zeros(3, np.uint8), 24, 0)

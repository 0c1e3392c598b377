"""The polynomial hash against Python integers, in every tier, however the message is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.mac import PolyHash, collision_bound, poly_hash
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

"""Toeplitz hashing against a matrix and against carry-less products of Python integers."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_native.bits import BitString
from qkd_native.gf2x import (
    modified_toeplitz_hash,
    modified_toeplitz_words,
    toeplitz_hash,
    toeplitz_words,
)
from qkd_native.tier import Tier, forced, supported


@pytest.fixture(params=supported(), ids=lambda tier: tier.name, autouse=True)
def tier(request: pytest.FixtureRequest) -> Iterator[Tier]:
    """Every property holds in every tier."""
    with forced(request.param):
        yield request.param


def pack(bits: np.ndarray) -> bytes:
    return np.packbits(bits, bitorder="little").tobytes()


def hashed(key: np.ndarray, seed: np.ndarray) -> bytes:
    """The hash of a key by a seed, both one bit a byte, in memory that held something else."""
    output = bytearray((seed.size - key.size + 1) // 8)
    memory = np.full(toeplitz_words(key.size, 8 * len(output)), 0xFFFFFFFF, np.uint64)
    toeplitz_hash(BitString.of(key), pack(seed), output, memory)
    return bytes(output)


def modified_hashed(key: np.ndarray, seed: bytes, output_bits: int) -> bytes:
    """The modified hash, in memory that held something else."""
    output = bytearray(output_bits // 8)
    memory = np.full(modified_toeplitz_words(key.size, output_bits), 0xFFFFFFFF, np.uint64)
    modified_toeplitz_hash(BitString.of(key), seed, output, memory)
    return bytes(output)


def carryless_product(a: int, b: int) -> int:
    product = 0
    while b:
        low = b & -b
        product ^= a * low
        b ^= low
    return product


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_equals_the_toeplitz_matrix(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 300))
    m = 8 * data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    key, seed = rng.integers(0, 2, n), rng.integers(0, 2, n + m - 1)
    matrix = np.array([[seed[n - 1 + i - j] for j in range(n)] for i in range(m)])
    expected = pack((matrix @ key % 2).astype(np.uint8))
    assert hashed(key.astype(np.uint8), seed) == expected


@pytest.mark.parametrize(("n", "m"), [(1, 4000), (4097, 8), (5000, 9008), (64 * 97, 64 * 31 + 8)])
def test_equals_integer_products_beyond_the_base_case(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    product = carryless_product(
        int.from_bytes(pack(seed), "little"), int.from_bytes(pack(key), "little")
    )
    expected = ((product >> (n - 1)) & ((1 << m) - 1)).to_bytes(m // 8, "little")
    assert hashed(key, seed) == expected


@pytest.mark.parametrize(
    ("n", "m"), [(20_000, 30_008), (130_000, 8), (13_001, 200_000), (64 * 961, 64 * 1921)]
)
def test_long_hashes_equal_the_rows_of_the_matrix(n: int, m: int) -> None:
    """A sample of rows: the first, the last, and around the joints of windows."""
    rng = np.random.default_rng(m)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    bits = np.unpackbits(np.frombuffer(hashed(key, seed), np.uint8), bitorder="little")
    for i in {0, m - 1, *range(61_000, min(m, 62_000)), *rng.integers(0, m, 100)}:
        assert bits[i] == seed[i : i + n][::-1] @ key % 2


def test_the_largest_transform_equals_rows_of_the_matrix(tier: Tier) -> None:
    """So long that pieces of 2^20 limbs pay; the portable tier would take a minute."""
    n = m = 100_000 if tier is Tier.PORTABLE else 30_000_000
    rng = np.random.default_rng(5)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    bits = np.unpackbits(np.frombuffer(hashed(key, seed), np.uint8), bitorder="little")
    for i in {0, m - 1, *rng.integers(0, m, 10)}:
        assert bits[i] == np.count_nonzero(seed[i : i + n][::-1] & key) % 2


@pytest.mark.parametrize(("n", "m"), [(1_000_000, 500_000), (400_000, 8), (3_000_001, 2_000_008)])
def test_the_hash_is_linear_beyond_one_transform(n: int, m: int, tier: Tier) -> None:
    """Two parts of the key, each with its part of the seed, hash to the parts of the sum."""
    rng = np.random.default_rng(n)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    if tier is Tier.PORTABLE:
        n, m = n // 20, 8 * max(m // 160, 1)
        key, seed = key[:n], seed[: n + m - 1]
    cut = n // 3
    low = hashed(key[:cut], seed[n - cut :])
    high = hashed(key[cut:], seed[: n - cut + m - 1])
    both = np.frombuffer(low, np.uint8) ^ np.frombuffer(high, np.uint8)
    assert hashed(key, seed) == both.tobytes()


def test_all_ones_survive_the_combs() -> None:
    n, m = 640, 640
    assert hashed(np.ones(n, np.uint8), np.ones(n + m - 1, np.uint8)) == bytes(m // 8)


def test_what_fills_the_last_byte_of_the_seed_has_no_effect_and_the_key_stays() -> None:
    key = BitString.of(np.arange(803, dtype=np.uint8) % 3 & 1)
    before = key.copy()
    seed = np.random.default_rng(1).bytes(201)  # 803 + 800 - 1 bits, and six more
    other = seed[:-1] + bytes([seed[-1] ^ 0xFC])
    outputs = bytearray(100), bytearray(100)
    toeplitz_hash(key, seed, outputs[0])
    toeplitz_hash(key, other, outputs[1])
    assert outputs[0] == outputs[1] != bytes(100)
    assert key.differing(before) == 0


def test_wrong_shapes_are_refused() -> None:
    for size, seed_bytes, output_bytes in ((8, 3, 1), (8, 1, 1), (0, 1, 1), (8, 1, 0)):
        with pytest.raises(ValueError):
            toeplitz_hash(BitString.zeros(size), bytes(seed_bytes), bytearray(output_bytes))
    for memory in (np.zeros(3, np.uint64), np.zeros(toeplitz_words(8, 8), np.int64)):
        with pytest.raises(ValueError, match="words"):
            toeplitz_hash(BitString.zeros(8), bytes(2), bytearray(1), memory)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_modified_hash_equals_identity_beside_a_toeplitz_matrix(data: st.DataObject) -> None:
    m = 8 * data.draw(st.integers(1, 40))
    n = m + data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n - 1, np.uint8)
    matrix = np.array([[seed[n - m - 1 + i - j] for j in range(n - m)] for i in range(m)])
    expected = pack((key[:m] + matrix @ key[m:]) % 2)
    assert modified_hashed(key, pack(seed), m) == expected


@pytest.mark.parametrize(("n", "m"), [(9, 8), (10, 8), (12, 8)])
def test_no_two_keys_collide_under_more_seeds_than_universality_allows(n: int, m: int) -> None:
    """Every difference of two keys that there is hashes to nothing under 2^-m of all seeds."""
    keys = [np.array([d >> i & 1 for i in range(n)], np.uint8) for d in (1, 1 << n - 1, 2**n - 1)]
    keys += [np.random.default_rng(i).integers(0, 2, n, np.uint8) for i in range(3)]
    for key in keys:
        seeds = [s.to_bytes(-(-(n - 1) // 8), "little") for s in range(2 ** (n - 1))]
        collisions = sum(modified_hashed(key, seed, m) == bytes(m // 8) for seed in seeds)
        assert collisions <= 2 ** (n - 1 - m) or not key.any()


def test_what_cannot_be_hashed_the_modified_way_is_refused() -> None:
    memory = np.zeros(modified_toeplitz_words(24, 8), np.uint64)
    for size, seed_bytes, output_bytes in ((24, 2, 1), (24, 3, 0), (8, 1, 1), (800, 100, 1)):
        with pytest.raises(ValueError):
            modified_toeplitz_hash(
                BitString.zeros(size), bytes(seed_bytes), bytearray(output_bytes), memory
            )

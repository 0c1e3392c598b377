"""Toeplitz hashing against a matrix and against carry-less products of Python integers."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_native.gf2x import toeplitz_hash
from qkd_native.tier import Tier, forced, supported


@pytest.fixture(params=supported(), ids=lambda tier: tier.name, autouse=True)
def tier(request: pytest.FixtureRequest) -> Iterator[Tier]:
    """Every property holds in every tier."""
    with forced(request.param):
        yield request.param


def pack(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, bitorder="little")


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
    m = data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    key, seed = rng.integers(0, 2, n), rng.integers(0, 2, n + m - 1)
    matrix = np.array([[seed[n - 1 + i - j] for j in range(n)] for i in range(m)])
    expected = pack((matrix @ key % 2).astype(np.uint8))
    assert toeplitz_hash(pack(key), n, pack(seed), m) == expected.tobytes()


@pytest.mark.parametrize(("n", "m"), [(1, 4000), (4097, 1), (5000, 9001), (64 * 97, 64 * 31 + 1)])
def test_equals_integer_products_beyond_the_base_case(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    key = pack(rng.integers(0, 2, n))
    seed = pack(rng.integers(0, 2, n + m - 1))
    product = carryless_product(
        int.from_bytes(seed.tobytes(), "little"), int.from_bytes(key.tobytes(), "little")
    )
    expected = ((product >> (n - 1)) & ((1 << m) - 1)).to_bytes(-(-m // 8), "little")
    assert toeplitz_hash(key, n, seed, m) == expected


@pytest.mark.parametrize(
    ("n", "m"), [(20_000, 30_001), (130_000, 7), (13_001, 200_000), (64 * 961, 64 * 1921)]
)
def test_long_hashes_equal_the_rows_of_the_matrix(n: int, m: int) -> None:
    """A sample of rows: the first, the last, and around the joints of windows."""
    rng = np.random.default_rng(m)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    output = np.frombuffer(toeplitz_hash(pack(key), n, pack(seed), m), np.uint8)
    bits = np.unpackbits(output, bitorder="little")[:m]
    for i in {0, m - 1, *range(61_000, min(m, 62_000)), *rng.integers(0, m, 100)}:
        assert bits[i] == seed[i : i + n][::-1] @ key % 2


def test_the_largest_transform_equals_rows_of_the_matrix(tier: Tier) -> None:
    """So long that pieces of 2^20 limbs pay; the portable tier would take a minute."""
    n = m = 100_000 if tier is Tier.PORTABLE else 30_000_000
    rng = np.random.default_rng(5)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    output = np.frombuffer(toeplitz_hash(pack(key), n, pack(seed), m), np.uint8)
    bits = np.unpackbits(output, bitorder="little")[:m]
    for i in {0, m - 1, *rng.integers(0, m, 10)}:
        assert bits[i] == np.count_nonzero(seed[i : i + n][::-1] & key) % 2


@pytest.mark.parametrize(("n", "m"), [(1_000_000, 500_000), (400_000, 1), (3_000_001, 2_000_003)])
def test_the_hash_is_linear_beyond_one_transform(n: int, m: int, tier: Tier) -> None:
    """Two parts of the key, each with its part of the seed, hash to the parts of the sum."""
    rng = np.random.default_rng(n)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, n + m - 1, np.uint8)
    if tier is Tier.PORTABLE:
        n, m = n // 20, max(m // 20, 1)
        key, seed = key[:n], seed[: n + m - 1]
    cut = n // 3
    low = toeplitz_hash(pack(key[:cut]), cut, pack(seed[n - cut :]), m)
    high = toeplitz_hash(pack(key[cut:]), n - cut, pack(seed[: n - cut + m - 1]), m)
    both = np.frombuffer(low, np.uint8) ^ np.frombuffer(high, np.uint8)
    assert toeplitz_hash(pack(key), n, pack(seed), m) == both.tobytes()


def test_all_ones_survive_the_combs() -> None:
    n, m = 640, 640
    key, seed = pack(np.ones(n, np.uint8)), pack(np.ones(n + m - 1, np.uint8))
    assert toeplitz_hash(key, n, seed, m) == bytes(m // 8)


def test_the_key_is_not_touched() -> None:
    key = np.arange(100, dtype=np.uint8)
    toeplitz_hash(key, 800, np.ones(200, np.uint8), 801)
    assert np.array_equal(key, np.arange(100, dtype=np.uint8))


@pytest.mark.parametrize(
    ("key", "n", "seed", "m"),
    [
        (np.zeros(2, np.uint8), 8, np.zeros(2, np.uint8), 8),
        (np.zeros(1, np.uint8), 8, np.zeros(1, np.uint8), 8),
        (np.zeros(1, np.int8), 8, np.zeros(2, np.uint8), 8),
        (np.full(1, 0x80, np.uint8), 7, np.zeros(2, np.uint8), 8),
        (np.zeros(1, np.uint8), 8, np.zeros(1, np.uint8), 0),
    ],
)
def test_wrong_shapes_are_refused(key: np.ndarray, n: int, seed: np.ndarray, m: int) -> None:
    with pytest.raises(ValueError):
        toeplitz_hash(key, n, seed, m)

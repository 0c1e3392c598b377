"""Toeplitz hashing against a matrix and against carry-less products of Python integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.gf2x import Backend, has_pclmul, toeplitz_hash

BACKENDS: list[Backend] = ["portable", "pclmul"] if has_pclmul() else ["portable"]


def pack(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, bitorder="little")


def carryless_product(a: int, b: int) -> int:
    product = 0
    while b:
        low = b & -b
        product ^= a * low
        b ^= low
    return product


@pytest.mark.parametrize("backend", BACKENDS)
@settings(deadline=None)
@given(data=st.data())
def test_equals_the_toeplitz_matrix(backend: Backend, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 300))
    m = data.draw(st.integers(1, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    key, seed = rng.integers(0, 2, n), rng.integers(0, 2, n + m - 1)
    matrix = np.array([[seed[n - 1 + i - j] for j in range(n)] for i in range(m)])
    expected = pack((matrix @ key % 2).astype(np.uint8))
    assert toeplitz_hash(pack(key), n, pack(seed), m, backend) == expected.tobytes()


@pytest.mark.parametrize(("n", "m"), [(1, 4000), (4097, 1), (5000, 9001), (64 * 97, 64 * 31 + 1)])
def test_equals_integer_products_beyond_the_base_case(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    key = pack(rng.integers(0, 2, n))
    seed = pack(rng.integers(0, 2, n + m - 1))
    product = carryless_product(
        int.from_bytes(seed.tobytes(), "little"), int.from_bytes(key.tobytes(), "little")
    )
    expected = ((product >> (n - 1)) & ((1 << m) - 1)).to_bytes(-(-m // 8), "little")
    for backend in BACKENDS:
        assert toeplitz_hash(key, n, seed, m, backend) == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_ones_survive_the_combs(backend: Backend) -> None:
    n, m = 640, 640
    key, seed = pack(np.ones(n, np.uint8)), pack(np.ones(n + m - 1, np.uint8))
    assert toeplitz_hash(key, n, seed, m, backend) == bytes(m // 8)


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

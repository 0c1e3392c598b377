"""Toeplitz hashing as one product of polynomials over GF(2)."""

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current


def toeplitz_hash(
    key: NDArray[np.uint8],
    key_bits: int,
    seed: NDArray[np.uint8],
    output_bits: int,
) -> bytearray:
    """The Toeplitz hash of a key: output bit i is the sum over j of key[j] · seed[n-1+i-j].

    key and seed are packed uint8 arrays, bit 0 of byte 0 first, of exactly the bytes that
    n = key_bits and n + output_bits - 1 bits need, with zero padding; so is the result.
    These are the coefficients n-1 … n+output_bits-2 of key(x) · seed(x) over GF(2)
    (Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213 (2016)).
    Raises ValueError for wrong lengths, dtypes or padding.
    """
    if key_bits < 1 or output_bits < 1:
        raise ValueError("a Toeplitz hash needs at least one bit in and one bit out")
    seed_bits = key_bits + output_bits - 1
    key_words = _words(key, key_bits, "key")
    seed_words = _words(seed, seed_bits, "seed")
    first = (key_bits - 1) // 64
    window = np.empty((seed_bits - 1) // 64 - first + 1, np.uint64)
    sizes = window.size, key_words.size, seed_words.size
    scratch = np.empty(lib.qkd_gf2x_scratch_words(*sizes), np.uint64)
    output = bytearray(-(-output_bits // 8))
    try:
        lib.qkd_gf2x_window(
            ffi.from_buffer("uint64_t[]", window),
            first,
            window.size,
            ffi.from_buffer("uint64_t[]", key_words),
            key_words.size,
            ffi.from_buffer("uint64_t[]", seed_words),
            seed_words.size,
            ffi.from_buffer("uint64_t[]", scratch),
            int(current()),
        )
        lib.qkd_gf2x_extract(
            ffi.from_buffer("uint8_t[]", output),
            ffi.from_buffer("uint64_t[]", window),
            window.size,
            key_bits - 1 - 64 * first,
            output_bits,
        )
    finally:
        for secret in (key_words, window, scratch):
            secret.fill(0)
    return output


def _words(packed: NDArray[np.uint8], bits: int, name: str) -> NDArray[np.uint64]:
    """A copy of packed bits as little-endian 64-bit words."""
    if packed.dtype != np.uint8 or packed.ndim != 1 or packed.size != -(-bits // 8):
        raise ValueError(f"the {name} must be uint8[{-(-bits // 8)}] to hold {bits} bits")
    if bits % 8 and packed[-1] >> (bits % 8):
        raise ValueError(f"the padding of the {name} is not zero")
    words = np.zeros(-(-bits // 64), np.uint64)
    words.view(np.uint8)[: packed.size] = packed
    return words

"""Toeplitz hashing as one product of polynomials over GF(2)."""

import numpy as np

from qkd_native._kernels import ffi, lib
from qkd_native.bits import BitString, Words, wipe, words_for
from qkd_native.tier import current


def toeplitz_words(key_bits: int, output_bits: int) -> int:
    """How many words of memory a hash works in."""
    window, seed = _sizes(key_bits, output_bits)
    scratch: int = lib.qkd_gf2x_scratch_words(window, words_for(key_bits), seed)
    return window + seed + scratch


def toeplitz_hash(
    key: BitString, seed: bytes | memoryview, output: bytearray, memory: Words | None = None
) -> None:
    """Fills output with the Toeplitz hash of a key: bit i is the sum of key[j] · seed[n-1+i-j].

    seed is packed, bit 0 of byte 0 first, in as few bytes as hold n + m - 1 bits, for n bits of key
    and m of output; bits after those have no effect. The results are the coefficients n-1 … n+m-2
    of key(x) · seed(x) over GF(2) (Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213
    (2016)). memory is ``toeplitz_words(n, m)`` words for the caller to wipe; without any, it is
    made and wiped here. Raises ValueError for wrong lengths.
    """
    key_bits, output_bits = key.size, 8 * len(output)
    if key_bits < 1 or output_bits < 1:
        raise ValueError("a Toeplitz hash needs at least one bit in and one bit out")
    seed_bits = key_bits + output_bits - 1
    if len(seed) != -(-seed_bits // 8):
        raise ValueError(f"a seed of {len(seed)} bytes instead of {-(-seed_bits // 8)}")
    if memory is None:
        memory = np.empty(toeplitz_words(key_bits, output_bits), np.uint64)
        try:
            toeplitz_hash(key, seed, output, memory)
        finally:
            wipe(memory)
        return
    if memory.dtype != np.uint64 or memory.shape != (toeplitz_words(key_bits, output_bits),):
        raise ValueError(f"the hash works in {toeplitz_words(key_bits, output_bits)} words")
    window_words, seed_words = _sizes(key_bits, output_bits)
    window, rest = memory[:window_words], memory[window_words:]
    aligned, scratch = rest[:seed_words], rest[seed_words:]
    aligned[-1] = 0
    aligned.view(np.uint8)[: len(seed)] = np.frombuffer(seed, np.uint8)
    first = (key_bits - 1) // 64
    lib.qkd_gf2x_window(
        ffi.from_buffer("uint64_t[]", window),
        first,
        window_words,
        ffi.from_buffer("uint64_t[]", key.words),
        key.words.size,
        ffi.from_buffer("uint64_t[]", aligned),
        seed_words,
        ffi.from_buffer("uint64_t[]", scratch),
        int(current()),
    )
    lib.qkd_gf2x_extract(
        ffi.from_buffer("uint8_t[]", output),
        ffi.from_buffer("uint64_t[]", window),
        window_words,
        key_bits - 1 - 64 * first,
        output_bits,
    )


def modified_toeplitz_words(key_bits: int, output_bits: int) -> int:
    """How many words of memory a modified hash works in."""
    rest_bits = key_bits - output_bits
    return words_for(rest_bits) + toeplitz_words(rest_bits, output_bits)


def modified_toeplitz_hash(
    key: BitString, seed: bytes | memoryview, output: bytearray, memory: Words
) -> None:
    """Fills output with the first m bits of a key plus the Toeplitz hash of the rest of it.

    This is the matrix (I | T) of Hayashi and Tsurumaru (IEEE Trans. Inf. Theory 62, 2213 (2016)),
    universal-2 as T is: keys that differ in the rest collide with probability 2^-m, keys that do
    not differ there never. Seed and product are shorter by m bits than for T alone. seed is packed
    as in ``toeplitz_hash``, n - 1 bits for n bits of key; memory is
    ``modified_toeplitz_words(n, m)`` words for the caller to wipe. Raises ValueError for wrong
    lengths, and unless 0 < m < n.
    """
    output_bits, rest_bits = 8 * len(output), key.size - 8 * len(output)
    if output_bits < 1 or rest_bits < 1:
        raise ValueError(f"{key.size} bits cannot be hashed to {output_bits}")
    if memory.dtype != np.uint64 or memory.shape != (
        modified_toeplitz_words(key.size, output_bits),
    ):
        raise ValueError(
            f"the hash works in {modified_toeplitz_words(key.size, output_bits)} words"
        )
    words, scratch = memory[: words_for(rest_bits)], memory[words_for(rest_bits) :]
    words[-1] = 0
    words.view(np.uint8)[: -(-rest_bits // 8)] = key.packed[len(output) :]
    toeplitz_hash(BitString(words, rest_bits), seed, output, scratch)
    hashed = np.frombuffer(output, np.uint8)
    np.bitwise_xor(hashed, key.packed[: len(output)], out=hashed)


def _sizes(key_bits: int, output_bits: int) -> tuple[int, int]:
    """Words of the product that hold the output, and of the seed."""
    seed_bits = key_bits + output_bits - 1
    return (seed_bits - 1) // 64 - (key_bits - 1) // 64 + 1, words_for(seed_bits)

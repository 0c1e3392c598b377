"""Privacy amplification by a Toeplitz hash.

The family is universal-2 (Krawczyk, CRYPTO '94), as the leftover hash lemma of the bound needs
(Tomamichel, Schaffner, Smith and Renner, IEEE Trans. Inf. Theory 57, 5524 (2011)).
"""

import os

import numpy as np

from qkd_controller.distillation.bits import Bits, pack_bits
from qkd_native.gf2x import toeplitz_hash


def draw_seed(key_bits: int, output_bits: int) -> bytes:
    """key_bits + output_bits - 1 fresh bits, packed, with zero padding."""
    seed_bits = key_bits + output_bits - 1
    seed = bytearray(os.urandom(-(-seed_bits // 8)))
    if seed_bits % 8:
        seed[-1] &= (1 << seed_bits % 8) - 1
    return bytes(seed)


def amplify(string: Bits, seed: bytes, key: bytearray) -> None:
    """Fills key from a confirmed string; raises ValueError for a seed of the wrong length.

    The key is the caller's buffer, so that its owner can wipe it whatever happens meanwhile.
    """
    packed = pack_bits(string)
    try:
        output = toeplitz_hash(packed, string.size, np.frombuffer(seed, np.uint8), 8 * len(key))
        key[:] = output
        output[:] = bytes(len(output))
    finally:
        packed.fill(0)

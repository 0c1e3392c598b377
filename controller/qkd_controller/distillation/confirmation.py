"""Whether two strings are equal, by universal hashing."""

import numpy as np

from qkd_controller.distillation.reconciliation import Frames
from qkd_controller.link.block_messages import CHECK_BYTES
from qkd_native.bits import BitString
from qkd_native.mac import collision_bound, frame_hashes, poly_hash

KEY_BYTES = 16


def confirmation_tag(key: bytes, string: BitString) -> bytes:
    """The 128-bit polynomial hash of a whole string."""
    return poly_hash(key, string.packed.data)


def confirmation_epsilon(string_bits: int, confirmations: int) -> float:
    """Bound on the probability that unequal strings pass one of so many confirmations.

    A string of L hash blocks collides with probability at most L/2^128 (see qkd_native.mac), and
    every confirmation of a block has a key of its own.
    """
    return confirmations * collision_bound(-(-string_bits // 8))


def frame_checks(key: bytes, string: BitString, frames: Frames) -> bytes:
    """A 32-bit hash of each frame, all under one key."""
    hashes = frame_hashes(key, string.packed, string.size, frames.frame_bits)
    return hashes[:, :CHECK_BYTES].tobytes()


def failing_frames(own: bytes, theirs: bytes) -> tuple[int, ...]:
    """The frames whose checks differ; raises ValueError for unequal numbers of checks."""
    if len(own) != len(theirs):
        raise ValueError(f"{len(theirs)} bytes of frame checks instead of {len(own)}")
    differ = np.frombuffer(own, np.uint8) != np.frombuffer(theirs, np.uint8)
    return tuple(np.flatnonzero(differ.reshape(-1, CHECK_BYTES).any(axis=1)).tolist())

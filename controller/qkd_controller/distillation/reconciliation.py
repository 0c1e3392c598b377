"""How a string is cut into frames and searched by Cascade.

Six passes: three of blocks 2^k, 2^(k+2) or 2^(k+3), 2^(k+6), then halves, after Martinez-Mateo,
Pacher, Peev, Ciurana and Martin, "Demystifying the information reconciliation protocol Cascade",
Quantum Inf. Comput. 15, 453 (2015); all odd blocks of all passes are searched at once.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from qkd_controller.distillation.bits import Bits
from qkd_native.cascade import (
    LEAST_SHUFFLED_BITS,
    MAX_FRAME_BITS,
    SHUFFLE_STAGES,
    SHUFFLE_WORDS,
    Plan,
    tree_depth,
)

SEED_BYTES = 32
HALVING_PASSES = 3


class Frames:
    """A string cut into as few frames as can be, of equal length but for a shorter last one."""

    def __init__(self, string_bits: int) -> None:
        if string_bits < 1:
            raise ValueError("a string has at least one bit")
        self.string_bits = string_bits
        self.frame_bits = -(-string_bits // -(-string_bits // MAX_FRAME_BITS))
        self.count = -(-string_bits // self.frame_bits)

    @property
    def every(self) -> tuple[int, ...]:
        """All frames' numbers."""
        return tuple(range(self.count))

    def span(self, frame: int) -> slice:
        """Where a frame lies in the string."""
        begin = frame * self.frame_bits
        return slice(begin, min(begin + self.frame_bits, self.string_bits))

    def gather(self, string: Bits, chosen: tuple[int, ...]) -> Bits:
        """The chosen frames' bits, one frame after another."""
        return np.concatenate([string[self.span(frame)] for frame in chosen])

    def scatter(self, string: Bits, chosen: tuple[int, ...], bits: Bits) -> None:
        """Puts bits from gather() back in their places."""
        begin = 0
        for frame in chosen:
            place = string[self.span(frame)]
            place[:] = bits[begin : begin + place.size]
            begin += place.size


def block_sizes(expected_qber: float, frame_bits: int) -> tuple[int, ...]:
    """log2 of each pass's blocks, such that a first block holds 0.6 to 1.2 errors.

    2^6 up to 1.9 %, 2^5 up to 3.8 %, 2^4 up to 7.5 % for full frames. Where a first block holds
    more errors than 0.75, second blocks are four times as long, else eight times: for half a per
    cent of f, a half to a third of the rounds.
    """
    depth = tree_depth(frame_bits)
    errors_a_leaf = max(expected_qber * frame_bits / (1 << depth), 1e-6)
    first = min(max(math.floor(math.log2(1.2 / errors_a_leaf)), 3), 10)
    second = first + (2 if errors_a_leaf * (1 << first) > 0.75 else 3)
    half = depth - 1
    return (*(min(size, half) for size in (first, second, first + 6)), *[half] * HALVING_PASSES)


def repair_sizes(frame_bits: int) -> tuple[int, ...]:
    """Block sizes for frames with a few errors left, an even number in every block so far."""
    half = tree_depth(frame_bits) - 1
    return (*(min(size, half) for size in (10, 12)), *[half] * HALVING_PASSES)


def cascade_plan(seed: bytes, string_bits: int, frame_bits: int, sizes: tuple[int, ...]) -> Plan:
    """The plan of one Cascade run; raises ValueError for sizes that do not fit."""
    width = min(frame_bits, string_bits)
    draw = _shuffles if width >= LEAST_SHUFFLED_BITS else _orders
    return Plan(string_bits, width, sizes, draw(seed, len(sizes), width))


def _orders(seed: bytes, passes: int, frame_bits: int) -> NDArray[np.uint16]:
    """A uniform permutation a pass: positions sorted by 64-bit keys from SHAKE-256."""
    orders = np.empty((passes, frame_bits), np.uint16)
    for index in range(passes):
        orders[index] = np.argsort(_keys(seed, index, frame_bits), kind="stable")
    return orders


def _shuffles(seed: bytes, passes: int, frame_bits: int) -> NDArray[np.uint16]:
    """Two stages a pass: a uniform permutation of words, and six bits of rotation, from a key."""
    keys = np.stack(
        [_keys(seed, index, SHUFFLE_STAGES * SHUFFLE_WORDS) for index in range(passes)]
    ).reshape(passes, SHUFFLE_STAGES, SHUFFLE_WORDS)
    words = np.argsort(keys, axis=-1, kind="stable")
    return (words << 6 | (keys & 63).astype(np.intp)).astype(np.uint16)


def _keys(seed: bytes, index: int, count: int) -> NDArray[np.uint64]:
    label = b"qkdlink cascade pass %d " % index
    return np.frombuffer(hashlib.shake_256(label + seed).digest(8 * count), "<u8")

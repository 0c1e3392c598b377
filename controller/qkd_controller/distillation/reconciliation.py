"""How a string is cut into frames and searched by Cascade.

Six passes: three of blocks 2^k, 2^(k+2) or 2^(k+3), 2^(k+6), then halves, after Martinez-Mateo,
Pacher, Peev, Ciurana and Martin, "Demystifying the information reconciliation protocol Cascade",
Quantum Inf. Comput. 15, 453 (2015); all odd blocks of all passes are searched at once. Second
blocks of 2^(k+1) are ours, for first blocks of nearly one error.

A frame goes on by one step of each search a round, and the slowest of many frames would take
hundreds of rounds. Short second blocks find more errors side by side, and a round that would ask
little searches several levels at once (cascade_deepen.c). Rounds, and f:

    QBER                  1 %         2 %        3 %        5 %         8 %
    13.6 Mbit    119, 1.059   97, 1.063  91, 1.066  129, 1.068  207, 1.074
    65 536 bits   76, 1.053   71, 1.061  75, 1.064   91, 1.065  115, 1.077
    5500 bits     47, 1.103   47, 1.099  51, 1.099   64, 1.101   81, 1.101
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from qkd_native.bits import WORD_BITS, BitString, Words, words_for
from qkd_native.cascade import (
    FRAME_SHIFT,
    LEAST_SHUFFLED_BITS,
    MAX_FRAME_BITS,
    SHUFFLE_STAGES,
    SHUFFLE_WORDS,
    Plan,
    Questions,
    Reference,
    opening_questions,
    tree_depth,
)

SEED_BYTES = 32
HALVING_PASSES = 3
DEVIATIONS = 2.0
"""So far above what was seen the error rate is allowed for while it is sought."""


class Frames:
    """A string cut into as few frames as can be, of equal length but for a shorter last one.

    Frames of a string that has several are whole words.
    """

    def __init__(self, string_bits: int) -> None:
        if string_bits < 1:
            raise ValueError("a string has at least one bit")
        self.string_bits = string_bits
        self.frame_bits = frame_length(string_bits, -(-string_bits // MAX_FRAME_BITS))
        self.count = -(-string_bits // self.frame_bits)

    @property
    def every(self) -> tuple[int, ...]:
        """All frames' numbers."""
        return tuple(range(self.count))

    def part(self, string: BitString, frame: int) -> BitString:
        """A frame's bits, where they are."""
        begin = frame * self.frame_bits
        return string.part(begin, min(begin + self.frame_bits, self.string_bits))

    def gather(self, string: BitString, chosen: tuple[int, ...]) -> BitString:
        """A copy of the chosen frames' bits, one frame after another."""
        return BitString.joined([self.part(string, frame) for frame in chosen])

    def scatter(self, string: BitString, chosen: tuple[int, ...], bits: BitString) -> None:
        """Puts bits from gather() back in their places."""
        begin = 0
        for frame in chosen:
            words = self.part(string, frame).words
            words[:] = bits.words[begin : begin + words.size]
            begin += words.size


def frame_length(string_bits: int, frames: int) -> int:
    """The length of all frames but the last, if a string is cut into about so many."""
    if frames == 1:
        return string_bits
    return WORD_BITS * -(-words_for(string_bits) // frames)


def block_sizes(expected_qber: float, frame_bits: int) -> tuple[int, ...]:
    """log2 of each pass's blocks, such that a first block holds 0.6 to 1.2 errors.

    2^6 up to 1.9 %, 2^5 up to 3.8 %, 2^4 up to 7.5 % for full frames.
    """
    wanted = math.floor(math.log2(1.2 / _errors_a_leaf(expected_qber, frame_bits)))
    return _sizes_after(min(max(wanted, 3), 10), expected_qber, frame_bits)


def _sizes_after(first: int, qber: float, frame_bits: int) -> tuple[int, ...]:
    """The sizes that go with a first one.

    Second blocks are eight, four or two times as long as first ones, the shorter the more errors
    are left for them: for one per cent of f, a third of the rounds. Where first blocks are short
    and the error rate is high, a per cent of f is more of the key, and they may be longer.
    """
    errors = _errors_a_leaf(qber, frame_bits) * (1 << first)
    bounds = (0.62, 0.85) if first > 4 else (0.75, 1.2)
    second = first + 3 - sum(errors > bound for bound in bounds)
    depth = tree_depth(frame_bits)
    half = depth - 1
    third = max(second, min(first + 6, depth - 3))  # of short frames, too, more than halves
    return (*(min(size, half) for size in (first, second, third)), *[half] * HALVING_PASSES)


def _errors_a_leaf(qber: float, frame_bits: int) -> float:
    return max(qber * frame_bits / (1 << tree_depth(frame_bits)), 1e-6)


def estimated_qber(odd_blocks: int, blocks: int, block_bits: float) -> float:
    """The error rate at which so many blocks of so many bits are expected to be odd.

    A block is odd with probability (1 - (1 - 2q)^k) / 2. 0.5 if half of them or more are.
    """
    even_excess = max(1 - 2 * odd_blocks / blocks, 0.0)
    return 0.5 * (1 - math.pow(even_excess, 1 / block_bits))


class FirstBlocks:
    """The corrector's first pass with blocks halved until they hold about one error each.

    It begins with blocks for a quarter of the expected error rate and estimates the rate from the
    share of odd ones. Parities of halves follow from those of wholes but for one a whole, so the
    questions are as many as for the final blocks alone, and none is asked in vain. The reference
    answers with Reference(plan, its bits). The full run, by the same seed and the sizes found,
    then begins with its first pass open: the corrector itself answers the questions that open it,
    with ``parities``, and the reference answers opening_questions() to nobody.
    """

    def __init__(
        self, plan: Plan, bits: BitString, expected_qber: float, memory: Words | None = None
    ) -> None:
        """Plan by first_blocks_plan(), in memory of plan.state_words, by default in new."""
        self.plan = plan
        (self.block_log2,) = plan.block_log2
        self.qber = expected_qber
        self._own = Reference(plan, bits, memory)
        self._asked = opening_questions(plan)
        self._parities = self._errors = BitString.zeros(0)
        """The reference's parities of all blocks, and where they differ from our own."""
        self._settled = False

    def ask(self) -> Questions:
        """The next round's questions; empty once the blocks are small enough."""
        return self._asked[:0] if self._settled else self._asked

    def absorb(self, questions: Questions, parities: bytes) -> None:
        """Takes in the answers to exactly the questions last asked, packed bit 0 first."""
        if not np.array_equal(questions, self._asked):
            raise ValueError("these are not the questions last asked")
        own = BitString.from_bytes(self._own.answer(self._asked), self._asked.size)
        theirs = BitString.from_bytes(parities, self._asked.size)
        errors = _sum(own, theirs)
        if self._parities.size:
            self.block_log2 -= 1
            self._errors = errors.woven(_sum(self._errors, errors))
            self._parities = theirs.woven(_sum(self._parities, theirs))
        else:
            self._errors, self._parities = errors, theirs
        frame_bits = self.plan.frame_bits
        blocks = self._errors.size
        odd = self._errors.differing(BitString.zeros(blocks))
        block_bits = self.plan.string_bits / blocks
        self.qber = estimated_qber(odd, blocks, block_bits)
        # Where blocks are few, more of them may have been meant to be odd than came out so.
        more = math.ceil(odd + DEVIATIONS * math.sqrt(blocks) / 2)
        most = estimated_qber(more, blocks, block_bits)
        self._settled = block_sizes(most, frame_bits)[0] >= self.block_log2
        if not self._settled:
            self._asked = self._halving_questions()

    @property
    def sizes(self) -> tuple[int, ...]:
        """log2 of each pass's blocks for the full run."""
        return _sizes_after(self.block_log2, self.qber, self.plan.frame_bits)

    @property
    def parities(self) -> bytes:
        """The answers to the questions that open the full run."""
        return self._parities.to_bytes()

    def wipe(self) -> None:
        """Overwrites what is known of the string; the object is of no use afterwards."""
        self._own.wipe()
        self._parities.wipe()
        self._errors.wipe()

    def _halving_questions(self) -> Questions:
        """One for each block: the node whose halves meet in its middle."""
        blocks = np.arange(self._errors.size // self.plan.frames, dtype=np.uint32)
        names = (2 * blocks + 1) << np.uint32(self.block_log2 - 1)
        frames = np.arange(self.plan.frames, dtype=np.uint32) << np.uint32(FRAME_SHIFT)
        return (frames[:, None] | names).ravel()


def _sum(a: BitString, b: BitString) -> BitString:
    return BitString(a.words ^ b.words, a.size)


def repair_sizes(frame_bits: int) -> tuple[int, ...]:
    """Block sizes for frames with a few errors left, an even number in every block so far."""
    depth = tree_depth(frame_bits)
    sizes = (depth - 6, depth - 3, *[depth - 1] * HALVING_PASSES)
    return tuple(min(max(size, 1), depth - 1) for size in sizes)


def first_blocks_plan(seed: bytes, string_bits: int, frame_bits: int, expected_qber: float) -> Plan:
    """The plan by which FirstBlocks begins."""
    first = block_sizes(expected_qber / 4, frame_bits)[0]
    return cascade_plan(seed, string_bits, frame_bits, (first,))


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

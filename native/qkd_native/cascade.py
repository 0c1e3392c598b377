"""Batched Cascade: the corrector asks for parities of its blocks, the reference answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi, lib
from qkd_native.bits import WORD_BITS, BitString, Words
from qkd_native.tier import current

MAX_FRAME_BITS = 1 << 16
MAX_FRAMES = 1 << 12
MAX_PASSES = 8
LEAST_SHUFFLED_BITS = (1 << 15) + 1
FRAME_SHIFT = 20
SHUFFLE_STAGES = 2
SHUFFLE_WORDS = 1 << 10

Questions = NDArray[np.uint32]


@dataclass(frozen=True)
class Plan:
    """How a string is cut into frames and searched; equal at both ends.

    orders is uint16[passes, frame_bits]: for each pass, a permutation of a frame's bits that all
    frames share; a shorter last frame takes its own bits in the same order. Frames of more than
    2^15 bits may have a shuffle instead, which is far quicker: uint16[passes, 2, 1024]. Each of
    its two stages gives word w of 64 bits the word entry[w] >> 6, rotated left by entry[w] & 63,
    and then transposes sixteen squares, words s, s + 16, s + 32, ... being one of them.
    block_log2 gives log2 of each pass's block length in leaves of a tree of
    ``tree_depth(frame_bits)`` levels. Frames are whole words, but for the last one. Raises
    ValueError for shapes or sizes out of range.
    """

    string_bits: int
    frame_bits: int
    block_log2: tuple[int, ...]
    orders: NDArray[np.uint16]

    def __post_init__(self) -> None:
        if not 1 <= self.frame_bits <= min(self.string_bits, MAX_FRAME_BITS):
            raise ValueError(f"{self.string_bits} bits cannot have frames of {self.frame_bits}")
        if self.frames > 1 and self.frame_bits % WORD_BITS:
            raise ValueError(f"frames of {self.frame_bits} bits are not whole words")
        if self.frames > MAX_FRAMES:
            raise ValueError(f"{self.frames} frames are more than {MAX_FRAMES}")
        if not 1 <= len(self.block_log2) <= MAX_PASSES:
            raise ValueError(f"Cascade has 1 to {MAX_PASSES} passes, not {len(self.block_log2)}")
        if not all(1 <= k < tree_depth(self.frame_bits) for k in self.block_log2):
            raise ValueError(f"block sizes 2^{self.block_log2} do not fit the frame")
        passes = len(self.block_log2)
        if self.shuffled:
            expected: tuple[int, ...] = (passes, SHUFFLE_STAGES, SHUFFLE_WORDS)
            permutations = self.orders // np.uint16(64)
        else:
            expected = (passes, self.frame_bits)
            permutations = self.orders
        if self.orders.dtype != np.uint16 or self.orders.shape != expected:
            raise ValueError(f"the orders of the passes must be uint16{list(expected)}")
        if not (np.sort(permutations, axis=-1) == np.arange(expected[-1])).all():
            raise ValueError("the order of a pass is not a permutation")

    @property
    def frames(self) -> int:
        """The number of frames, the last one perhaps shorter."""
        return -(-self.string_bits // self.frame_bits)

    @property
    def last_frame_bits(self) -> int:
        """The length of the last frame."""
        return self.string_bits - (self.frames - 1) * self.frame_bits

    @property
    def state_words(self) -> int:
        """How many words of memory an end needs."""
        words: int = lib.qkd_cascade_state_words(ffi.new("qkd_cascade_plan *", self._shape()))
        return words

    def _shape(self) -> dict[str, object]:
        return {
            "frames": self.frames,
            "frame_bits": self.frame_bits,
            "last_frame_bits": self.last_frame_bits,
            "depth": tree_depth(self.frame_bits),
            "passes": len(self.block_log2),
            "block_log2": list(self.block_log2),
        }

    @property
    def shuffled(self) -> bool:
        """Whether orders gives shuffles, not tables."""
        return self.orders.ndim == 3 and self.frame_bits >= LEAST_SHUFFLED_BITS


def tree_depth(frame_bits: int) -> int:
    """Levels below the root of the tree that a frame's bits hang in."""
    return max(2, (frame_bits - 1).bit_length())


def opening_questions(plan: Plan) -> Questions:
    """The questions that open the first pass of every frame: for all of its blocks."""
    blocks = np.arange(1 << (tree_depth(plan.frame_bits) - plan.block_log2[0]), dtype=np.uint32)
    frames = np.arange(plan.frames, dtype=np.uint32) << np.uint32(FRAME_SHIFT)
    return (frames[:, None] | np.uint32(1 << 16) | blocks).ravel()


class _End:
    """The parity trees of one end's string, in memory of plan.state_words; by default in new."""

    def __init__(self, plan: Plan, bits: BitString, memory: Words | None = None) -> None:
        if bits.size != plan.string_bits:
            raise ValueError(f"a string of {bits.size} bits for a plan of {plan.string_bits}")
        self._trees = np.empty(plan.state_words, np.uint64) if memory is None else memory
        if self._trees.dtype != np.uint64 or self._trees.shape != (plan.state_words,):
            raise ValueError(f"an end needs {plan.state_words} words of memory")
        self._bits = bits
        depth = tree_depth(plan.frame_bits)
        tables: dict[str, NDArray[np.uint16]] = {}
        if plan.shuffled:
            tables["gather"] = np.ascontiguousarray(plan.orders)
            tables["scatter"] = _scatter(plan.orders)
        else:
            tables["leaf_of_bit"], tables["bit_of_leaf"] = _tables(
                plan.orders, plan.frame_bits, depth
            )
            tables["last_leaf_of_bit"], tables["last_bit_of_leaf"] = _tables(
                plan.orders, plan.last_frame_bits, depth
            )
        self._tables = {
            name: ffi.from_buffer("uint16_t[]", table) for name, table in tables.items()
        }
        self._plan = ffi.new("qkd_cascade_plan *", plan._shape() | self._tables)
        self._state = ffi.from_buffer("uint64_t[]", self._trees)
        self._tier = current()
        lib.qkd_cascade_begin(
            self._plan, ffi.from_buffer("uint64_t[]", bits.words), self._state, self._tier
        )

    def wipe(self) -> None:
        """Overwrites the parity trees; the object is of no use afterwards."""
        lib.qkd_cascade_wipe(self._plan, self._state)


class Corrector(_End):
    """The end whose bits are corrected in place, frame by frame as they finish."""

    def __init__(self, plan: Plan, bits: BitString, memory: Words | None = None) -> None:
        super().__init__(plan, bits, memory)
        self._string = ffi.from_buffer("uint64_t[]", bits.words)
        self._room = np.empty(lib.qkd_cascade_round_questions(self._plan), np.uint32)
        self._questions = ffi.from_buffer("uint32_t[]", self._room)
        self._asked = np.empty(0, np.uint32)
        self._parities = b""

    def ask(self) -> Questions:
        """The next round's questions, uint32, ascending; empty once Cascade has none left.

        Raises ValueError if the last round's have not been answered.
        """
        if self._asked.size and not self._parities:
            raise ValueError(f"{self._asked.size} questions have no answers yet")
        count = lib.qkd_cascade_ask(
            self._plan,
            self._string,
            self._state,
            ffi.from_buffer("uint32_t[]", self._asked),
            self._parities,
            self._asked.size,
            self._questions,
            self._tier,
        )
        self._asked = self._room[:count].copy()
        self._asked.flags.writeable = False
        self._parities = b""
        return self._asked

    def absorb(self, questions: Questions, parities: bytes) -> None:
        """Takes in the answers to exactly the questions last asked, packed bit 0 first."""
        if questions is not self._asked and not np.array_equal(questions, self._asked):
            raise ValueError("these are not the questions last asked")
        if len(parities) != -(-questions.size // 8):
            raise ValueError(f"{questions.size} answers do not have {len(parities)} bytes")
        self._parities = bytes(parities)


class Reference(_End):
    """The end whose bits are taken as right."""

    def answer(self, questions: Questions) -> bytes:
        """The packed parities asked for, bit 0 of byte 0 first.

        Raises ValueError for a question that names no block or node, or whose answer was given or
        follows from answers given.
        """
        if questions.dtype != np.uint32 or questions.ndim != 1:
            raise ValueError("questions must be a uint32 vector")
        parities = bytearray(-(-questions.size // 8))
        if not questions.size:
            return b""
        answered = lib.qkd_cascade_answer(
            self._plan,
            self._state,
            ffi.from_buffer("uint32_t[]", np.ascontiguousarray(questions)),
            questions.size,
            ffi.from_buffer("uint8_t[]", parities),
            self._tier,
        )
        if answered != questions.size:
            raise ValueError(f"question {answered} of {questions.size} has no answer to give")
        return bytes(parities)


def encode(questions: Questions) -> memoryview:
    """Ascending questions by their differences: most take one byte or two (questions.c).

    Raises ValueError for questions that do not ascend.
    """
    if not questions.size:
        return memoryview(b"")
    buffer = np.empty(lib.qkd_questions_room(questions.size), np.uint8)
    length = lib.qkd_questions_encode(
        current(),
        ffi.from_buffer("uint32_t[]", np.ascontiguousarray(questions)),
        questions.size,
        ffi.from_buffer("uint8_t[]", buffer),
    )
    if not length:
        raise ValueError("questions must ascend")
    return buffer[:length].data


def decode(data: bytes | memoryview, count: int) -> Questions:
    """The count questions that encode made data of; ValueError for bytes that it never makes."""
    # Nothing is allocated for a count that cannot be true.
    if not 0 <= count <= 8 * len(data):
        raise ValueError(f"{len(data)} bytes cannot hold {count} questions")
    questions = np.empty(count, np.uint32)
    if lib.qkd_questions_decode(
        current(),
        ffi.from_buffer("uint8_t[]", data),
        len(data),
        count,
        ffi.from_buffer("uint32_t[]", questions),
    ):
        raise ValueError(f"these {len(data)} bytes are not a coding of {count} questions")
    return questions


def _tables(
    orders: NDArray[np.uint16], length: int, depth: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """The leaf of each bit and the bit at each leaf, a row a pass, for frames of this length."""
    passes = orders.shape[0]
    places = orders[orders < length].reshape(passes, length)
    leaves = ((np.arange(length, dtype=np.uint64) << np.uint64(depth)) // np.uint64(length)).astype(
        np.uint16
    )
    leaf_of_bit = np.empty((passes, length), np.uint16)
    np.put_along_axis(
        leaf_of_bit, places.astype(np.intp), np.broadcast_to(leaves, places.shape), axis=1
    )
    bit_of_leaf = np.zeros((passes, 1 << depth), np.uint16)
    bit_of_leaf[:, leaves] = places
    return leaf_of_bit, bit_of_leaf


def _scatter(gather: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The inverse of a shuffle's words: where each goes, with the same rotation."""
    goes_to = np.arange(SHUFFLE_WORDS, dtype=np.uint16) << 6 | gather & 63
    scatter = np.empty_like(gather)
    np.put_along_axis(scatter, (gather >> 6).astype(np.intp), goes_to, axis=-1)
    return scatter

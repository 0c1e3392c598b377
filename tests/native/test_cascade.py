"""Cascade: errors are found, no parity is asked for twice, and its efficiency."""

from math import log2

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qkd_native.bits import BitString, words_for
from qkd_native.cascade import (
    LEAST_SHUFFLED_BITS,
    MAX_FRAME_BITS,
    SHUFFLE_STAGES,
    SHUFFLE_WORDS,
    Corrector,
    Plan,
    Reference,
    decode,
    encode,
    tree_depth,
)
from qkd_native.tier import Tier, forced, supported


def make_plan(
    rng: np.random.Generator, string_bits: int, frame_bits: int, block_log2: tuple[int, ...]
) -> Plan:
    depth = tree_depth(frame_bits)
    sizes = tuple(min(max(k, 1), depth - 1) for k in block_log2)
    orders = np.array([rng.permutation(frame_bits) for _ in sizes]).astype(np.uint16)
    return Plan(string_bits, frame_bits, sizes, orders)


def make_shuffled_plan(
    rng: np.random.Generator, string_bits: int, frame_bits: int, block_log2: tuple[int, ...]
) -> Plan:
    shape = (len(block_log2), SHUFFLE_STAGES, SHUFFLE_WORDS)
    words = np.argsort(rng.random(shape), axis=-1)
    orders = (words << 6 | rng.integers(0, 64, shape)).astype(np.uint16)
    return Plan(string_bits, frame_bits, block_log2, orders)


def shuffle(bits: np.ndarray, gather: np.ndarray) -> np.ndarray:
    """One stage, spelt out: uint8[1024, 64], bit 0 of a word first."""
    words = np.array([np.roll(bits[entry >> 6], entry & 63) for entry in gather])
    squares = words.reshape(64, 16, 64)
    return squares.transpose(2, 1, 0).reshape(1024, 64)


def unpacked(answers: bytes, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(answers, np.uint8), bitorder="little")[:count]


def run(plan: Plan, truth: np.ndarray, noisy: np.ndarray) -> tuple[int, int]:
    """Corrects noisy, one bit a byte, in place; (answered parities, rounds)."""
    mended = BitString.of(noisy)
    corrector, reference = Corrector(plan, mended), Reference(plan, BitString.of(truth))
    leaked = rounds = 0
    while (questions := corrector.ask()).size:
        corrector.absorb(questions, reference.answer(questions))
        leaked += questions.size
        rounds += 1
    noisy[:] = mended.unpacked()
    return leaked, rounds


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    string_bits=st.integers(1, 5000),
    frames=st.integers(1, 4),
    qber=st.floats(0, 0.12),
)
def test_every_block_of_every_pass_ends_even(
    seed: int, string_bits: int, frames: int, qber: float
) -> None:
    rng = np.random.default_rng(seed)
    frame_bits = min(64 * -(-words_for(string_bits) // frames), string_bits)
    plan = make_plan(rng, string_bits, frame_bits, (4, 7, 10, 11, 11))
    truth = rng.integers(0, 2, string_bits, np.uint8)
    noisy = truth ^ (rng.random(string_bits) < qber).astype(np.uint8)
    before = int((truth ^ noisy).sum())
    run(plan, truth, noisy)
    residual = truth ^ noisy
    assert residual.sum() <= before
    for begin in range(0, string_bits, frame_bits):
        assert residual[begin : begin + frame_bits].sum() % 2 == 0


def test_equal_strings_stay_equal_and_cost_the_blocks_only() -> None:
    rng = np.random.default_rng(1)
    plan = make_plan(rng, 1024, 1024, (5, 8))
    truth = rng.integers(0, 2, 1024, np.uint8)
    noisy = truth.copy()
    leaked, rounds = run(plan, truth, noisy)
    assert np.array_equal(truth, noisy)
    assert rounds == 2
    assert leaked == 32 + 4 - 1, "the last block of the second pass follows from the root"


@pytest.mark.parametrize(
    ("qber", "first_log2"), [(0.01, 6), (0.02, 5), (0.03, 5), (0.05, 4), (0.12, 3)]
)
def test_efficiency(qber: float, first_log2: int) -> None:
    rng = np.random.default_rng(int(1000 * qber))
    frames = 10
    k = first_log2
    plan = make_plan(rng, frames << 16, 1 << 16, (k, k + 3, k + 6, 15, 15, 15))
    truth = rng.integers(0, 2, frames << 16, np.uint8)
    noisy = truth ^ (rng.random(truth.size) < qber).astype(np.uint8)
    errors = int((truth ^ noisy).sum())
    leaked, _ = run(plan, truth, noisy)
    rate = errors / truth.size
    entropy = -rate * log2(rate) - (1 - rate) * log2(1 - rate)
    assert 1.0 < leaked / (truth.size * entropy) < 1.12
    unequal_frames = (truth ^ noisy).reshape(frames, -1).any(axis=1).sum()
    assert unequal_frames <= 1


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_false_answers_end_in_bounded_work(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = make_plan(rng, 700, 384, (3, 5, 8))
    noisy = BitString.of(rng.integers(0, 2, 700, np.uint8))
    corrector = Corrector(plan, noisy)
    asked: set[int] = set()
    while (questions := corrector.ask()).size:
        assert asked.isdisjoint(questions.tolist())
        asked.update(questions.tolist())
        corrector.absorb(questions, rng.bytes(-(-questions.size // 8)))


def test_questions_with_no_answer_to_give_are_refused() -> None:
    rng = np.random.default_rng(2)
    plan = make_plan(rng, 512, 256, (4, 6))
    bits = BitString.of(rng.integers(0, 2, 512, np.uint8))
    other = 1 << 17  # the second pass
    block = 1 << 16

    def ask(*questions: int) -> bytes:
        return reference.answer(np.array(questions, np.uint32))

    reference = Reference(plan, bits)
    ask(*range(block, block + 16), *range(1 << 20 | block, (1 << 20 | block) + 16))
    ask(8, other | block, other | block + 1, other | block + 2)
    ask(other | 32)
    for refused in [
        (8,),  # split before
        (2,),  # in no half that a split has shown
        (16,),  # larger than a block
        (256,),  # beyond the frame
        (0,),
        (block,),  # answered
        (other | block + 3,),  # follows from the sum of all
        (2 << 17 | 16,),  # no such pass
        (1 << 20 | other | 32,),  # a pass that this frame has not opened
        (1 << 20 | other | block, 1 << 20 | other | block + 2),  # not all blocks in order
        (1 << 20 | other | block, 1 << 20 | other | block + 1),  # not all blocks
        (2 << 20 | 8,),  # no such frame
        (24, 24),  # twice in one round
        (56, 40),  # not in order
        (66, 68),  # halves of a node that nobody splits
        (84, 88, 92, 82),  # a half that is shown, but out of order
    ]:
        with pytest.raises(ValueError, match="no answer to give"):
            ask(*refused)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), length=st.integers(65, 5000), levels=st.integers(1, 6))
def test_a_subtree_asked_at_once_is_answered_as_if_level_by_level(
    seed: int, length: int, levels: int
) -> None:
    """And no part of it is answered again; a child whose parent is left out has no answer."""
    rng = np.random.default_rng(seed)
    plan = make_plan(rng, length, length, (6,))
    bits = BitString.of(rng.integers(0, 2, length, np.uint8))
    leaves = 1 << tree_depth(length)
    opening = np.arange(leaves >> 6, dtype=np.uint32) + np.uint32(1 << 16)
    blocks = rng.choice(leaves >> 6, min(3, leaves >> 6), replace=False)
    below = [np.arange(1, 1 << levels) << (6 - levels) | block << 6 for block in blocks]
    names = np.sort(np.concatenate(below)).astype(np.uint32)
    at_once, by_levels, without = (Reference(plan, bits) for _ in range(3))
    for reference in (at_once, by_levels, without):
        reference.answer(opening)
    together = unpacked(at_once.answer(names), names.size)
    halves = names & -names
    for half in np.unique(halves)[::-1]:
        level = names[halves == half]
        assert np.array_equal(
            unpacked(by_levels.answer(level), level.size), together[halves == half]
        )
    with pytest.raises(ValueError, match="no answer to give"):
        at_once.answer(names[rng.integers(names.size, size=1)])
    if levels > 1 and length == leaves:
        with pytest.raises(ValueError, match="no answer to give"):
            without.answer(names[halves != 32])


@pytest.mark.parametrize("frames", [1, 20])
def test_few_searches_go_several_levels_at_once_and_never_ask_what_is_known(frames: int) -> None:
    """And what goes beyond one question a search stays a small share of all."""
    rng = np.random.default_rng(frames)
    plan = make_shuffled_plan(rng, frames << 16, 1 << 16, (5, 8, 11, 15, 15, 15))
    truth = rng.integers(0, 2, frames << 16, np.uint8)
    mended = BitString.of(truth ^ (rng.random(truth.size) < 0.02).astype(np.uint8))
    corrector = Corrector(plan, mended)
    reference = Reference(plan, BitString.of(truth))
    asked: set[int] = set()
    deep = 0
    while (questions := corrector.ask()).size:
        assert (np.diff(questions.astype(np.int64)) > 0).all()
        assert asked.isdisjoint(questions.tolist())
        splits = questions[questions >> 16 & 1 == 0]
        sizes = np.array(plan.block_log2, np.uint32)[splits >> 17 & 7]
        deep += splits.size - np.unique(splits >> sizes << sizes).size
        asked.update(questions.tolist())
        corrector.absorb(questions, reference.answer(questions))
    assert np.array_equal(mended.unpacked(), truth)
    assert 0 < deep < len(asked) / 32


def test_wrong_shapes_are_refused() -> None:
    orders = np.arange(8, dtype=np.uint16)[None]
    plan = Plan(8, 8, (2,), orders)
    with pytest.raises(ValueError, match="do not fit"):
        Plan(8, 8, (0,), orders)
    with pytest.raises(ValueError, match="7 bits for a plan of 8"):
        Corrector(plan, BitString.zeros(7))
    with pytest.raises(ValueError, match="words of memory"):
        Corrector(plan, BitString.zeros(8), np.zeros(plan.state_words + 1, np.uint64))
    with pytest.raises(ValueError, match="whole words"):
        Plan(100, 70, (2,), np.arange(70, dtype=np.uint16)[None])
    with pytest.raises(ValueError, match="permutation"):
        Plan(8, 8, (2,), np.zeros((1, 8), np.uint16))
    with pytest.raises(ValueError, match="do not fit"):
        Plan(8, 8, (3,), orders)
    with pytest.raises(ValueError, match="frames"):
        Plan(8, 9, (2,), orders)
    corrector = Corrector(plan, BitString.zeros(8))
    questions = corrector.ask()
    with pytest.raises(ValueError, match="bytes"):
        corrector.absorb(questions, b"")
    with pytest.raises(ValueError, match="last asked"):
        corrector.absorb(questions + np.uint32(1), b"\0")
    with pytest.raises(ValueError, match="no answers yet"):
        corrector.ask()
    with pytest.raises(ValueError, match="read-only"):
        questions[0] = 0


@pytest.mark.parametrize("tier", supported())
@pytest.mark.parametrize("length", [LEAST_SHUFFLED_BITS, 50_000, MAX_FRAME_BITS])
def test_leaves_of_a_shuffled_frame_are_its_shuffled_bits(tier: Tier, length: int) -> None:
    rng = np.random.default_rng(length)
    plan = make_shuffled_plan(rng, length, length, (1,))
    bits = rng.integers(0, 2, length, np.uint8)
    padded = np.full(MAX_FRAME_BITS, 2, np.uint8)
    padded[:length] = bits
    shuffled = padded.reshape(1024, 64)
    for gather in plan.orders[0]:
        shuffled = shuffle(shuffled, gather)
    pairs = shuffled.reshape(-1, 2)
    with forced(tier):
        reference = Reference(plan, BitString.of(bits))
        sums = reference.answer(np.arange(1 << 16, 3 << 15, dtype=np.uint32))
        lefts = reference.answer(np.arange(1, 1 << 16, 2, dtype=np.uint32))
    assert np.array_equal(unpacked(sums, 1 << 15), (pairs & 1).sum(axis=1) & 1)
    assert np.array_equal(unpacked(lefts, 1 << 15), pairs[:, 0] & 1)


@settings(deadline=None, max_examples=10)
@example(seed=5, frame_bits=32832, last_bits=32769, first_log2=7, qber=0.1)
@given(
    seed=st.integers(0, 2**32),
    frame_bits=st.integers(-(-LEAST_SHUFFLED_BITS // 64), MAX_FRAME_BITS // 64).map(
        lambda words: 64 * words
    ),
    last_bits=st.integers(1, MAX_FRAME_BITS),
    first_log2=st.integers(1, 8),
    qber=st.floats(0, 0.12),
)
def test_shuffled_frames_are_corrected_alike_in_every_tier(
    seed: int, frame_bits: int, last_bits: int, first_log2: int, qber: float
) -> None:
    rng = np.random.default_rng(seed)
    string_bits = frame_bits + min(last_bits, frame_bits)
    sizes = (first_log2, first_log2 + 3, first_log2 + 6, 15)
    plan = make_shuffled_plan(rng, string_bits, frame_bits, sizes)
    truth = rng.integers(0, 2, string_bits, np.uint8)
    noisy = truth ^ (rng.random(string_bits) < qber).astype(np.uint8)
    transcripts = []
    for tier in supported():
        with forced(tier):
            mended = BitString.of(noisy)
            corrector = Corrector(plan, mended)
            reference = Reference(plan, BitString.of(truth))
            transcript = []
            while (questions := corrector.ask()).size:
                answers = reference.answer(questions)
                corrector.absorb(questions, answers)
                transcript.append((questions.tobytes(), answers))
        residual = mended.unpacked() ^ truth
        assert residual[:frame_bits].sum() % 2 == residual[frame_bits:].sum() % 2 == 0
        transcripts.append((transcript, mended.to_bytes()))
    assert all(other == transcripts[0] for other in transcripts)


class Span:
    """Vectors over GF(2), as integers, and what follows from them."""

    def __init__(self) -> None:
        self._basis: list[int] = []

    def reduced(self, vector: int) -> int:
        for other in self._basis:
            vector = min(vector, vector ^ other)
        return vector

    def add(self, vector: int) -> None:
        if vector := self.reduced(vector):
            self._basis.append(vector)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(2, 40),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
)
def test_exactly_the_questions_that_split_what_is_whole_are_answered(
    seed: int, length: int, sizes: list[int]
) -> None:
    """In any order of asking, and so that no answer follows from others."""
    rng = np.random.default_rng(seed)
    depth = tree_depth(length)
    plan = make_plan(rng, length, length, tuple(sizes))
    bits = rng.integers(0, 2, length, np.uint8)
    leaf_of = ((np.arange(length) << depth) // length).tolist()
    real = sum(1 << leaf for leaf in leaf_of)
    spans = [Span() for _ in sizes]
    reference = Reference(plan, BitString.of(bits))

    def leaves(begin: int, end: int) -> int:
        return ((1 << end) - (1 << begin)) & real

    def parity(number: int, vector: int) -> int:
        asked = [plan.orders[number][i] for i, leaf in enumerate(leaf_of) if vector >> leaf & 1]
        return int(bits[asked].sum() % 2)

    # Where one half is padding, the other is known with the whole.
    known = {
        (number, name)
        for number in range(len(sizes))
        for name in range(1, 1 << depth)
        if not (leaves(name - (name & -name), name) and leaves(name, name + (name & -name)))
    }
    split: set[tuple[int, int]] = set()
    opened = 0
    for _ in range(100):
        if opened < len(sizes) and rng.random() < 0.05:
            width = 1 << plan.block_log2[opened]
            spans[opened].add(real if opened else 0)
            blocks = range(0, (1 << depth) - (width if opened else 0), width)
            answers = reference.answer(
                np.arange(len(blocks), dtype=np.uint32) + (opened << 17 | 1 << 16)
            )
            for begin, answer in zip(blocks, unpacked(answers, len(blocks)), strict=True):
                vector = leaves(begin, begin + width)
                assert answer == parity(opened, vector)
                spans[opened].add(vector)
            opened += 1
        number = int(rng.integers(len(sizes)))
        name = int(rng.integers(1 << depth))
        half = name & -name
        question = np.array([number << 17 | name], np.uint32)
        left = leaves(name - half, name)
        width = 1 << plan.block_log2[number]
        reached = 2 * half == width or (number, name ^ half | half << 1) in split | known
        if number < opened and 2 * half <= width and reached and (number, name) not in split:
            assert (number, name) in known or spans[number].reduced(left)
            assert reference.answer(question)[0] == parity(number, left)
            spans[number].add(left)
            split.add((number, name))
        else:
            with pytest.raises(ValueError, match="no answer to give"):
                reference.answer(question)


def test_words_taken_twice_are_no_shuffle() -> None:
    orders = np.zeros((1, SHUFFLE_STAGES, SHUFFLE_WORDS), np.uint16)
    with pytest.raises(ValueError, match="permutation"):
        Plan(MAX_FRAME_BITS, MAX_FRAME_BITS, (5,), orders)


@given(st.lists(st.integers(0, 2**32 - 1), unique=True).map(sorted))
def test_questions_are_decoded_as_they_were_encoded(questions: list[int]) -> None:
    array = np.array(questions, np.uint32)
    assert np.array_equal(decode(encode(array), array.size), array)


@given(st.binary(max_size=40), st.integers(0, 50))
def test_bytes_are_a_coding_of_questions_or_refused(data: bytes, count: int) -> None:
    try:
        questions = decode(data, count)
    except ValueError:
        return
    assert encode(questions) == data


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 2000), mean_log2=st.integers(0, 21))
def test_a_question_takes_about_as_many_bits_as_its_distance(
    seed: int, count: int, mean_log2: int
) -> None:
    """Two more than the mean distance's logarithm, and less than three bytes a block more."""
    distances = np.random.default_rng(seed).integers(1, 2 << mean_log2, count, np.int64)
    questions = np.cumsum(distances).astype(np.uint32)
    coded = encode(questions)
    assert np.array_equal(decode(coded, count), questions)
    assert len(coded) <= count * (mean_log2 + 3) / 8 + 3 * (count // 256 + 1)


def test_codes_beyond_32_bits_and_questions_that_do_not_ascend_are_refused() -> None:
    last = encode(np.array([2**32 - 1], np.uint32))
    assert np.array_equal(decode(last, 1), [2**32 - 1])
    beyond = bytes([last[0], *last[1:-1], last[-1] << 1])
    with pytest.raises(ValueError, match="not a coding"):
        decode(beyond, 1)
    for unordered in ([2, 1], [1, 1]):
        with pytest.raises(ValueError, match="ascend"):
            encode(np.array(unordered, np.uint32))


def test_questions_ascend_and_take_two_bytes_at_most_on_average() -> None:
    rng = np.random.default_rng(7)
    plan = make_shuffled_plan(rng, 4 << 16, 1 << 16, (5, 7, 11, 15, 15, 15))
    truth = rng.integers(0, 2, 4 << 16, np.uint8)
    noisy = truth ^ (rng.random(truth.size) < 0.03).astype(np.uint8)
    corrector = Corrector(plan, BitString.of(noisy))
    reference = Reference(plan, BitString.of(truth))
    asked = coded = 0
    while (questions := corrector.ask()).size:
        data = encode(questions)
        asked += questions.size
        coded += len(data)
        corrector.absorb(questions, reference.answer(decode(data, questions.size)))
    assert coded <= 2 * asked

"""Cascade: errors are found, no parity is asked for twice, and its efficiency."""

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.cascade import Corrector, Plan, Reference, tree_depth


def make_plan(
    rng: np.random.Generator, string_bits: int, frame_bits: int, block_log2: tuple[int, ...]
) -> Plan:
    depth = tree_depth(frame_bits)
    sizes = tuple(min(k, depth) for k in block_log2)
    orders = np.array([rng.permutation(frame_bits) for _ in sizes]).astype(np.uint16)
    return Plan(string_bits, frame_bits, sizes, orders)


def run(plan: Plan, truth: np.ndarray, noisy: np.ndarray) -> tuple[int, int]:
    """Corrects noisy in place; (answered parities, rounds)."""
    corrector, reference = Corrector(plan, noisy), Reference(plan, truth)
    leaked = rounds = 0
    while (questions := corrector.ask()).size:
        corrector.absorb(questions, reference.answer(questions))
        leaked += questions.size
        rounds += 1
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
    frame_bits = -(-string_bits // frames)
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
    assert 1.0 < leaked / (truth.size * entropy) < 1.10
    unequal_frames = (truth ^ noisy).reshape(frames, -1).any(axis=1).sum()
    assert unequal_frames <= 1


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_false_answers_end_in_bounded_work(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = make_plan(rng, 700, 400, (3, 5, 8))
    noisy = rng.integers(0, 2, 700, np.uint8)
    corrector = Corrector(plan, noisy)
    asked: set[int] = set()
    while (questions := corrector.ask()).size:
        assert asked.isdisjoint(questions.tolist())
        asked.update(questions.tolist())
        corrector.absorb(questions, rng.bytes(-(-questions.size // 8)))


def test_questions_with_no_answer_to_give_are_refused() -> None:
    rng = np.random.default_rng(2)
    plan = make_plan(rng, 256, 256, (4, 6))
    bits = rng.integers(0, 2, 256, np.uint8)

    def ask(*nodes: int) -> bytes:
        return reference.answer(np.array(nodes, np.uint32))

    reference = Reference(plan, bits)
    ask(16, 32)
    for refused in [
        (16,),  # answered
        (33,),  # follows from its parent and its sibling
        (15,),  # larger than a block
        (512,),  # below the leaves
        (0,),
        (2 << 17 | 16,),  # no such pass
        (1 << 20 | 16,),  # no such frame
        (17, 17),  # twice in one round
    ]:
        with pytest.raises(ValueError, match="no answer to give"):
            ask(*refused)


def test_wrong_shapes_are_refused() -> None:
    orders = np.arange(8, dtype=np.uint16)[None]
    plan = Plan(8, 8, (2,), orders)
    with pytest.raises(ValueError, match="one bit a byte"):
        Corrector(plan, np.zeros(7, np.uint8))
    with pytest.raises(ValueError, match="permutation"):
        Plan(8, 8, (2,), np.zeros((1, 8), np.uint16))
    with pytest.raises(ValueError, match="do not fit"):
        Plan(8, 8, (4,), orders)
    with pytest.raises(ValueError, match="frames"):
        Plan(8, 9, (2,), orders)
    corrector = Corrector(plan, np.zeros(8, np.uint8))
    with pytest.raises(ValueError, match="bytes"):
        corrector.absorb(corrector.ask(), b"")

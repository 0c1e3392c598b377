"""Cascade, each end by itself against its peer's recorded messages, and both together."""

from collections.abc import Iterator
from math import log2

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_controller.distillation.reconciliation import (
    SEED_BYTES,
    FirstBlocks,
    block_sizes,
    cascade_plan,
    first_blocks_plan,
)
from qkd_controller.link.block_messages import CHECK_BYTES, TAG_BYTES
from qkd_native.bits import BitString
from qkd_native.cascade import (
    MAX_FRAME_BITS,
    Corrector,
    Plan,
    Questions,
    Reference,
    decode,
    encode,
    opening_questions,
)

FRAMES = 200
YANETAL = {0.01: 14.3e6, 0.02: 11.7e6, 0.03: 10.2e6, 0.05: 7.3e6}
"""cascade-cpp, Yan et al., 10^5 bits, native build, both sides on one core: bits/s."""

Round = tuple[Questions, bytes]


def cases() -> Iterator[Case]:
    for qber, quoted in YANETAL.items():
        yield from _cases_at(qber, quoted)


def _cases_at(qber: float, quoted: float) -> Iterator[Case]:
    count = FRAMES * MAX_FRAME_BITS
    rng = np.random.default_rng(int(1000 * qber))
    bits = rng.integers(0, 2, count, np.uint8)
    truth = BitString.of(bits)
    noisy = BitString.of(bits ^ (rng.random(count) < qber).astype(np.uint8))
    sizes = block_sizes(qber, MAX_FRAME_BITS)
    plan = cascade_plan(bytes(SEED_BYTES), count, MAX_FRAME_BITS, sizes)
    mended = noisy.copy()
    rounds = reconcile(plan, truth, mended)
    rate = truth.differing(noisy) / count
    leaked = sum(questions.size for questions, _ in rounds)
    efficiency = leaked / count / -(rate * log2(rate) + (1 - rate) * log2(1 - rate))
    failed = int((truth.words ^ mended.words).reshape(FRAMES, -1).any(axis=1).sum())
    unknowing = [_reconcile_unknowing(truth, noisy.copy(), wrong * qber) for wrong in (0.25, 4)]
    coded = [encode(questions) for questions, _ in rounds]
    locating = 8 * (TAG_BYTES + CHECK_BYTES * FRAMES) / leaked
    workload = (
        f"{FRAMES} frames of 2^16 bits, QBER {qber:.0%}: f {efficiency:.3f}, "
        f"{len(rounds)} rounds, {failed} frames failed; to find them, were there any, "
        f"{locating:.2%} more bits (128 a string, 32 a frame)"
    )
    unknown = f"{FRAMES} frames, QBER {qber:.0%}, expected a quarter of it and four times it: " + (
        " and ".join(f"f {leak / leaked * efficiency:.3f} in {n} rounds" for leak, n in unknowing)
    )
    messages = (
        f"{leaked} questions of {len(rounds)} rounds, QBER {qber:.0%}, "
        f"{sum(map(len, coded)) / leaked:.2f} bytes each"
    )

    def correct() -> None:
        noisy.copy(mended.words)
        corrector = Corrector(plan, mended)
        for questions, parities in rounds:
            corrector.ask()
            corrector.absorb(questions, parities)
        corrector.ask()
        corrector.wipe()

    def answer() -> None:
        reference = Reference(plan, truth)
        for questions, _ in rounds:
            reference.answer(questions)
        reference.wipe()

    def encode_all() -> None:
        for questions, _ in rounds:
            encode(questions)

    def decode_all() -> None:
        for data, (questions, _) in zip(coded, rounds, strict=True):
            decode(data, questions.size)

    def both() -> None:
        noisy.copy(mended.words)
        reconcile(plan, truth, mended)

    def both_unknowing() -> None:
        noisy.copy(mended.words)
        _reconcile_unknowing(truth, mended, qber / 4)

    peer = Peer("cascade-cpp", quoted=quoted)
    reads_per_s = harness.random_reads_per_s(8 * plan.state_words)
    limit = count / leaked * reads_per_s
    note = "its questions, each a byte read at random from as much memory"
    yield Case("cascade, corrector", workload, correct, (), "bit", count, limit, note)
    yield Case("cascade, reference", workload, answer, (), "bit", count, limit, note)
    bytes_each = rounds[0][0].itemsize + sum(map(len, coded)) / leaked
    coding = harness.copies_per_s(leaked, bytes_each), "as bytes copied"
    yield Case("encode questions", messages, encode_all, (), "question", leaked, *coding)
    yield Case("decode questions", messages, decode_all, (), "question", leaked, *coding)
    yield Case(
        "cascade, both",
        workload,
        both,
        (peer,),
        "bit",
        count,
        limit / 2,
        note,
    )
    yield Case(
        "cascade, both, QBER unknown",
        unknown,
        both_unknowing,
        (),
        "bit",
        count,
        count / unknowing[0][0] * reads_per_s / 2,
        note,
    )


def reconcile(plan: Plan, truth: BitString, noisy: BitString) -> list[Round]:
    """Corrects noisy in place; returns what was said."""
    corrector, reference = Corrector(plan, noisy), Reference(plan, truth)
    rounds: list[Round] = []
    while (questions := corrector.ask()).size:
        parities = reference.answer(questions)
        corrector.absorb(questions, parities)
        rounds.append((questions, parities))
    corrector.wipe()
    reference.wipe()
    return rounds


def _reconcile_unknowing(
    truth: BitString, noisy: BitString, expected_qber: float
) -> tuple[int, int]:
    """The same with first blocks as they turn out to be fit; parities answered, and rounds."""
    begun = first_blocks_plan(bytes(SEED_BYTES), noisy.size, MAX_FRAME_BITS, expected_qber)
    first = FirstBlocks(begun, noisy, expected_qber)
    reference = Reference(first.plan, truth)
    leaked = rounds = 0
    while (questions := first.ask()).size:
        first.absorb(questions, reference.answer(questions))
        leaked += questions.size
        rounds += 1
    plan = cascade_plan(bytes(SEED_BYTES), truth.size, MAX_FRAME_BITS, first.sizes)
    corrector, reference = Corrector(plan, noisy), Reference(plan, truth)
    corrector.absorb(corrector.ask(), first.parities)
    reference.answer(opening_questions(plan))
    while (questions := corrector.ask()).size:
        corrector.absorb(questions, reference.answer(questions))
        leaked += questions.size
        rounds += 1
    return leaked, rounds

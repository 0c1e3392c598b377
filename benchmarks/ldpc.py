"""LDPC codes, each end by itself, beside ldpc's belief propagation and LDPC4QKD.

The workload names f, counted over all parities told, the round trips of a frame, mean and most,
and the frames left undecoded. ldpc (PyPI) decodes one frame of 2^16 bits of the same code, from
the same parities, as ours does beside it; LDPC4QKD decodes its own codes, at the error rate stated.

A decoder's limit is what it reads and writes: each iteration, of each edge a message and the
posterior of its bit, as if all lay in the second-level cache.
"""

from collections.abc import Iterator
from math import log2
from unittest import mock

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_controller.distillation.syndrome import (
    ParityRequest,
    SyndromeCorrector,
    SyndromePlan,
    SyndromeReference,
    syndrome_plan,
)
from qkd_native.bits import BitString
from qkd_native.ldpc import MAX_FRAME_BITS, Code, Decoder

BITS = 24 * MAX_FRAME_BITS
SMALL_BITS = 1 << 16
SMALL_ITERATIONS = 60
LDPC4QKD = {
    0.01: ("1.75 %, 819 kbit, f 1.18", 0.054e6),
    0.02: ("1.75 %, 819 kbit, f 1.18", 0.054e6),
    0.03: ("2.6 %, 819 kbit, f 1.15", 0.050e6),
    0.05: ("5 %, 24 kbit, f 1.16", 0.25e6),
    0.07: ("8.8 %, 16 kbit, f 1.16", 0.31e6),
    0.10: ("8.8 %, 16 kbit, f 1.16", 0.31e6),
}
"""QBER, frame and f, and bits a second of CPU time; AMD EPYC Zen 4, native build."""

EDGE_BYTES = 2 * (1 + 2)
"""A message of one byte and a posterior of two, read and written."""
CACHED_BYTES = 1 << 18
"""Copied within the second-level cache, but not within the first."""

Round = tuple[ParityRequest, bytes]


def cases() -> Iterator[Case]:
    for qber, (note, quoted) in LDPC4QKD.items():
        yield from _whole(qber, Peer(f"LDPC4QKD, {note}", quoted=quoted))
        if qber in (0.02, 0.05):
            yield _small(qber)


def _whole(qber: float, peer: Peer) -> Iterator[Case]:
    truth, noisy = _strings(BITS, qber)
    plan = syndrome_plan(BITS, qber)
    rounds: list[Round] = []
    corrector, reference = SyndromeCorrector(plan, noisy.copy()), SyndromeReference(plan, truth)
    iterations: list[int] = []
    decode = Decoder.decode

    def watched(
        decoder: Decoder, bits: BitString, parities: BitString, error_rate: float, most: int
    ) -> int:
        done = decode(decoder, bits, parities, error_rate, most)
        iterations.append(most if done < 0 else done)
        return done

    with mock.patch.object(Decoder, "decode", watched):
        while (request := corrector.ask()) is not None:
            rounds.append((request, reference.answer(request)))
            corrector.absorb(*rounds[-1])
    mean = sum(len(request.frames) for request, _ in rounds) / plan.frames
    workload = (
        f"{plan.frames} frames of {plan.frame_bits} bits, QBER {qber:.0%}: "
        f"f {corrector.leaked_bits / _limit(truth, noisy):.3f}, round trips {mean:.2f} mean, "
        f"{len(rounds)} most, {sum(iterations) / plan.frames:.1f} iterations mean, "
        f"{len(corrector.failing)} frames failed"
    )

    def correct() -> None:
        again = SyndromeCorrector(plan, noisy.copy())
        for request, answer in rounds:
            again.ask()
            again.absorb(request, answer)

    def answer() -> None:
        again = SyndromeReference(plan, truth)
        for request, _ in rounds:
            again.answer(request)

    yield Case(
        "LDPC, corrector",
        workload,
        correct,
        (peer,),
        "bit",
        BITS,
        BITS * _iterations_per_s(plan.code) / sum(iterations),
        "its messages and posteriors, copied in cache",
    )
    frame_bytes = plan.frame_bits // 8
    yield Case(
        "LDPC, reference",
        workload,
        answer,
        (),
        "bit",
        BITS,
        plan.frame_bits * 8 * harness.read_bytes_per_s(frame_bytes) / _edges(plan.code),
        "a bit read from cache for each edge",
    )


def _small(qber: float) -> Case:
    """One frame, one syndrome: whole belief propagation beside ours."""
    truth, noisy = _strings(SMALL_BITS, qber)
    plan = syndrome_plan(SMALL_BITS, qber)
    code = plan.code
    parities = code.parities(truth, 0, plan.first_blocks)
    decoder = Decoder(code)
    efficiency = parities.size / _limit(truth, noisy)

    def ours() -> int:
        return decoder.decode(noisy.copy(), parities, qber, SMALL_ITERATIONS)

    iterations = ours()
    return Case(
        "LDPC, one syndrome",
        f"1 frame of 2^16 bits, QBER {qber:.0%}, f {efficiency:.3f}: {iterations} iterations",
        ours,
        (_belief_propagation(plan, truth, noisy, qber),),
        "bit",
        SMALL_BITS,
        SMALL_BITS * _iterations_per_s(code) / iterations,
        "its messages and posteriors, copied in cache",
    )


def _edges(code: Code) -> int:
    """Of all checks of a frame, however many of them are split."""
    return len(code.checks(code.rows)[0])


def _iterations_per_s(code: Code) -> float:
    """Of a frame, by a copy of as many bytes."""
    return harness.copy_bytes_per_s(CACHED_BYTES) / (EDGE_BYTES * _edges(code))


def _belief_propagation(
    plan: SyndromePlan, truth: BitString, noisy: BitString, qber: float
) -> Peer:
    module, missing = harness.optional("ldpc")
    sparse, unfound = harness.optional("scipy.sparse")
    if module is None or sparse is None:
        return Peer("ldpc", missing=missing or unfound)
    code, blocks = plan.code, plan.first_blocks
    checks, bits = code.checks(blocks)
    here = bits < SMALL_BITS
    matrix = sparse.csr_matrix(
        (np.ones(here.sum(), np.uint8), (checks[here], bits[here])),
        shape=(blocks * code.size, SMALL_BITS),
    )
    peer = module.BpDecoder(
        matrix,
        error_rate=qber,
        max_iter=SMALL_ITERATIONS,
        bp_method="product_sum",
        input_vector_type="syndrome",
    )
    wrong = BitString(truth.words ^ noisy.words, SMALL_BITS)
    odd = code.syndrome(code.parities(wrong, 0, blocks)).unpacked()
    found = np.array_equal(peer.decode(odd), wrong.unpacked())
    name = f"ldpc product-sum, {peer.iter} iterations, {'decoded' if found else 'failed'}"
    return Peer(name, lambda: peer.decode(odd))


def _strings(bits: int, qber: float) -> tuple[BitString, BitString]:
    rng = np.random.default_rng(int(1000 * qber))
    truth = rng.integers(0, 2, bits, np.uint8)
    noisy = truth ^ (rng.random(bits) < qber).astype(np.uint8)
    return BitString.of(truth), BitString.of(noisy)


def _limit(truth: BitString, noisy: BitString) -> float:
    rate = truth.differing(noisy) / truth.size
    return -truth.size * (rate * log2(rate) + (1 - rate) * log2(1 - rate))

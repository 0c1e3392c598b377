"""LDPC reconciliation: both ends in one process, message by message."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.distillation.syndrome import (
    ROUND_TRIPS,
    ParityRequest,
    SyndromeCorrector,
    SyndromePlan,
    SyndromeReference,
    syndrome_plan,
)
from qkd_controller.security.bounds import binary_entropy
from qkd_native.bits import BitString
from qkd_native.ldpc import MAX_FRAME_BITS, base_rows


def noisy_pair(bits, qber, seed):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, bits, np.uint8)
    return truth, truth ^ (draw.random(bits) < qber).astype(np.uint8)


def reconcile(plan, truth, noisy):
    """Corrects noisy, one bit a byte, in place."""
    mended = BitString.of(noisy)
    corrector = SyndromeCorrector(plan, mended)
    reference = SyndromeReference(plan, BitString.of(truth))
    requests = []
    while (request := corrector.ask()) is not None:
        requests.append(request)
        corrector.absorb(request, reference.answer(request))
    corrector.wipe()
    noisy[:] = mended.unpacked()
    assert corrector.leaked_bits == reference.leaked_bits
    assert corrector.leaked_bits == sum(map(plan.leaked_bits, requests))
    assert corrector.rounds == reference.rounds == len(requests) <= ROUND_TRIPS
    return corrector, requests


@pytest.mark.parametrize("qber", [0.01, 0.03, 0.10])
def test_strings_become_equal_near_the_limit_in_few_round_trips(qber):
    truth, noisy = noisy_pair(2 * MAX_FRAME_BITS, qber, 3)
    actual = float(np.mean(truth ^ noisy))
    corrector, _ = reconcile(syndrome_plan(truth.size, qber), truth, noisy)
    assert not corrector.failing
    assert np.array_equal(truth, noisy)
    assert corrector.leaked_bits < 1.19 * truth.size * binary_entropy(actual)


@pytest.mark.soak
@pytest.mark.parametrize("qber", [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.10])
def test_a_thousand_frames_leak_little_and_nearly_all_are_decoded(qber):
    leaked = failed = frames = 0
    limit = 0.0
    for seed in range(25):
        truth, noisy = noisy_pair(40 * MAX_FRAME_BITS, qber, seed)
        limit += truth.size * binary_entropy(float(np.mean(truth ^ noisy)))
        plan = syndrome_plan(truth.size, qber)
        corrector, _ = reconcile(plan, truth, noisy)
        leaked += corrector.leaked_bits
        wrong = np.add.reduceat(truth ^ noisy, np.arange(0, truth.size, plan.frame_bits))
        failed += int(np.count_nonzero(wrong))
        frames += plan.frames
    assert leaked < 1.15 * limit
    assert failed <= frames // 100


def test_more_errors_than_expected_take_more_parities_of_some_frames_only():
    truth, noisy = noisy_pair(300_000, 0.03, 1)
    noisy[:150_016] = truth[:150_016] ^ (np.random.default_rng(2).random(150_016) < 0.034)
    plan = SyndromePlan(300_000, 150_016, 84, 86)
    corrector, requests = reconcile(plan, truth, noisy)
    assert requests[0] == ParityRequest(0, 86, (0, 1))
    assert len(requests) > 1 and all(request.frames == (0,) for request in requests[1:])
    assert not corrector.failing and np.array_equal(truth, noisy)


def test_frames_that_cannot_be_decoded_are_left_alone():
    truth, noisy = noisy_pair(90_000, 0.08, 1)
    before = noisy.copy()
    corrector, requests = reconcile(syndrome_plan(90_000, 0.04), truth, noisy)
    assert corrector.failing == (0,) and len(requests) == ROUND_TRIPS
    assert np.array_equal(noisy, before)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**8), st.floats(0, 0.25))
def test_a_plan_covers_the_string_with_equal_frames_of_whole_words(string_bits, qber):
    plan = syndrome_plan(string_bits, qber)
    assert 0 <= plan.frames * plan.frame_bits - string_bits < 64 * plan.frames
    assert plan.frames == 1 or plan.frame_bits % 64 == 0
    assert plan.rows in base_rows()
    assert plan.rows <= plan.first_blocks <= 2 * plan.rows
    assert list(plan.steps) == sorted(plan.steps) and plan.steps[-1] <= 2 * plan.rows
    assert plan.code.columns * plan.code.size - plan.frame_bits < plan.code.size


@pytest.mark.parametrize("string_bits", [3 * MAX_FRAME_BITS, 10**7])
def test_the_first_syndrome_is_as_long_as_the_error_rate_calls_for(string_bits):
    for qber in (0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.12):
        plan = syndrome_plan(string_bits, qber)
        leak = plan.frames * plan.first_blocks * plan.code.size
        assert 1.06 < leak / (string_bits * binary_entropy(qber)) < 1.16


def test_what_no_honest_peer_asks_is_refused():
    plan = syndrome_plan(70_000, 0.02)
    bits = BitString.zeros(70_000)
    rows = plan.first_blocks
    reference = SyndromeReference(plan, bits)
    for wrong in (
        ParityRequest(0, rows, ()),
        ParityRequest(0, rows, (0, 0)),
        ParityRequest(0, rows, (1,)),
        ParityRequest(1, rows, (0,)),
        ParityRequest(0, 0, (0,)),
        ParityRequest(0, 2 * plan.rows + 1, (0,)),
    ):
        with pytest.raises(ValueError):
            reference.answer(wrong)
    assert reference.leaked_bits == 0
    for block in range(ROUND_TRIPS):
        reference.answer(ParityRequest(block, block + 1, (0,)))
    with pytest.raises(ValueError, match="more than"):
        reference.answer(ParityRequest(ROUND_TRIPS, ROUND_TRIPS + 1, (0,)))


def test_what_does_not_fit_is_refused():
    plan = syndrome_plan(70_000, 0.02)
    with pytest.raises(ValueError, match="69999 bits"):
        SyndromeCorrector(plan, BitString.zeros(69_999))
    corrector = SyndromeCorrector(plan, BitString.zeros(70_000))
    request = corrector.ask()
    assert request is not None
    with pytest.raises(ValueError, match="parities do not have"):
        corrector.absorb(request, b"\0")
    for wrong in ((70_000, 0.3), (0, 0.02)):
        with pytest.raises(ValueError, match="no plan"):
            syndrome_plan(*wrong)
    for frame_bits, rows, blocks in (
        (70_064, 46, 46),
        (35_001, 46, 46),
        (70_000, 46, 45),
        (70_000, 46, 93),
    ):
        with pytest.raises(ValueError):
            SyndromePlan(70_000, frame_bits, rows, blocks)

"""Agreeing on one string: up to 12 % of errors, through repair and disclosure."""

import asyncio
import itertools
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_controller.distillation import cascading, reconciliation
from qkd_controller.distillation.agreement import Agreement
from qkd_controller.distillation.conversation import StringConversation, Tally
from qkd_controller.distillation.method import Method
from qkd_controller.distillation.reconciliation import SEED_BYTES
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import (
    CascadeBegun,
    Confirmation,
    FailingFrames,
    FrameChecks,
    FramesDisclosed,
    ParitiesWanted,
    ParityAnswers,
    ParityQuestions,
    SyndromesBegun,
)
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.message import BlockMessage
from qkd_controller.security.bounds import binary_entropy
from qkd_native.bits import BitString
from qkd_native.cascade import decode, encode


async def agree(
    pair,
    truth: BitString,
    noisy: BitString,
    limit_bits: int = 10**9,
    method: Method = "cascade",
    expected_qber: float = 0.03,
) -> tuple[Tally, Tally]:
    """Bob corrects noisy in place; raises the first failure of either end."""
    ends = (
        Agreement(
            bits,
            StringConversation(pair.channels[name], "z", limit_bits),
            name == "alice",
            expected_qber,
            method,
            30,
            Workspace(1 << 24),
        )
        for name, bits in (("alice", truth), ("bob", noisy))
    )
    tasks = [asyncio.create_task(end.run()) for end in ends]
    try:
        alice, bob = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return alice, bob


def make_strings(seed: int, count: int, qber: float) -> tuple[BitString, BitString]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, count, np.uint8)
    noisy = truth ^ (rng.random(count) < qber).astype(np.uint8)
    return BitString.of(truth), BitString.of(noisy)


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=(HealthCheck.function_scoped_fixture,),
)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 6_000),
    qber=st.floats(0, 0.12),
    max_frame_bits=st.sampled_from([64, 1_000, 1 << 16]),
)
async def test_strings_become_equal(pair_of_channels, seed, count, qber, max_frame_bits) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "MAX_FRAME_BITS", max_frame_bits)
        truth, noisy = make_strings(seed, count, qber)
        kept = truth.copy()
        pair = pair_of_channels()
        alice, bob = await agree(pair, truth, noisy)
        assert noisy.differing(truth) == 0
        assert truth.differing(kept) == 0
        assert alice == bob
        for ledger in pair.ledgers.values():
            assert ledger.strings["z"].leaked_bits == alice.leaked_bits
            assert ledger.strings["x"].leaked_bits == 0


def spoil_answers(runs: int):
    """Flips the first answer of each of so many first rounds of a Cascade run."""
    begun = 0

    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        nonlocal begun
        if isinstance(message, ParityAnswers) and message.count > 1 and begun < runs:
            begun += 1
            parities = bytearray(message.bits)
            parities[0] ^= 1
            return msgspec.structs.replace(message, bits=bytes(parities))
        return message

    return tamper


async def test_a_wrong_frame_is_found_and_repaired(pair_of_channels, monkeypatch) -> None:
    monkeypatch.setattr(reconciliation, "MAX_FRAME_BITS", 1_024)
    truth, noisy = make_strings(1, 8_192, 0.01)
    pair = pair_of_channels(spoil_answers(1))
    tally, _ = await agree(pair, truth, noisy)
    assert noisy.differing(truth) == 0
    assert tally.confirmations >= 2
    assert tally.repaired_frames >= 1
    failing = [message for _, message in pair.sent if isinstance(message, FailingFrames)]
    assert 0 in failing[0].frames
    costs = [message.cost_bits() for _, message in pair.sent if isinstance(message, Confirmation)]
    assert costs == [98] + [128] * (tally.confirmations - 1), "the bound covers the first one only"
    checks = next(message for _, message in pair.sent if isinstance(message, FrameChecks))
    assert checks.cost_bits() == 32 * 8


async def test_a_frame_beyond_repair_is_disclosed_and_charged_whole(
    pair_of_channels, monkeypatch
) -> None:
    monkeypatch.setattr(reconciliation, "MAX_FRAME_BITS", 1_024)
    truth, noisy = make_strings(2, 4_096, 0.01)

    def spoil_frame_two_and_its_repairs(sender: str, message: BlockMessage) -> BlockMessage:
        nonlocal questions, repairing
        if isinstance(message, FailingFrames):
            repairing = True
        if isinstance(message, ParityQuestions):
            questions = decode(message.nodes, message.count)
        if isinstance(message, ParityAnswers):
            spoiled = np.full(message.count, True) if repairing else questions >> 20 == 2
            parities = BitString.from_bytes(message.bits, message.count)
            parities.words ^= BitString.of(spoiled.astype(np.uint8)).words
            return msgspec.structs.replace(message, bits=parities.to_bytes())
        return message

    questions, repairing = np.empty(0, np.uint32), False
    pair = pair_of_channels(spoil_frame_two_and_its_repairs)
    tally, _ = await agree(pair, truth, noisy)
    assert noisy.differing(truth) == 0
    assert tally.disclosed_frames >= 1
    disclosed = [message for _, message in pair.sent if isinstance(message, FramesDisclosed)]
    assert [message.cost_bits() for message in disclosed] == [1_024 * tally.disclosed_frames]
    assert pair.ledgers["alice"].strings["z"].leaked_bits == tally.leaked_bits
    assert tally.confirmations == 4


async def test_no_more_leaks_than_the_limit(pair_of_channels) -> None:
    truth, noisy = make_strings(3, 5_000, 0.05)
    pair = pair_of_channels()
    with pytest.raises(BlockDiscarded, match="600 are allowed"):
        async with asyncio.timeout(10):
            await agree(pair, truth, noisy, limit_bits=600)
    assert pair.ledgers["alice"].strings["z"].leaked_bits <= 600


@pytest.mark.parametrize(
    ("count", "nodes"),
    [
        (1, encode(np.array([1 << 20 | 1], np.uint32))),
        (1, encode(np.array([7 << 17 | 1], np.uint32))),
        (2, encode(np.array([0, 1], np.uint32))),
        (1, encode(np.array([0xFFFFFFFF], np.uint32))),
        (3, b"\x80\xff\x01"),
    ],
)
async def test_hostile_questions_are_refused(pair_of_channels, count, nodes) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, ParityQuestions):
            return msgspec.structs.replace(message, count=count, nodes=nodes)
        return message

    truth, noisy = make_strings(4, 4_096, 0.02)
    with pytest.raises(ProtocolError, match="asked what it must not"):
        async with asyncio.timeout(10):
            await agree(pair_of_channels(tamper), truth, noisy)


async def test_more_questions_than_bits_are_refused(pair_of_channels) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, ParityQuestions):
            return msgspec.structs.replace(message, count=1 << 20, nodes=bytes(1 << 17))
        return message

    truth, noisy = make_strings(4, 4_096, 0.02)
    with pytest.raises(ProtocolError, match="questions about 4096 bits"):
        async with asyncio.timeout(10):
            await agree(pair_of_channels(tamper), truth, noisy)


async def test_no_parity_is_told_twice_while_first_blocks_are_sought(
    pair_of_channels, monkeypatch
) -> None:
    # One seed in some five hundred leaves a frame to be repaired, by a run of its own.
    seeds = (bytes([n]) * SEED_BYTES for n in itertools.count())
    monkeypatch.setattr(cascading, "secrets", SimpleNamespace(token_bytes=lambda _: next(seeds)))
    truth, noisy = make_strings(5, 1 << 16, 0.03)
    pair = pair_of_channels()
    tally, _ = await agree(pair, truth, noisy)
    begun = [message for _, message in pair.sent if isinstance(message, CascadeBegun)]
    assert len(begun) == 2 and begun[0].seed == begun[1].seed
    assert len(begun[0].block_log2) == 1 < len(begun[1].block_log2)
    told = sum(message.count for _, message in pair.sent if isinstance(message, ParityAnswers))
    assert told == tally.leaked_bits - (128 - 30)
    assert told < 1.2 * (1 << 16) * binary_entropy(0.03)


@pytest.mark.parametrize("qber", [0.02, 0.05])
async def test_codes_agree_in_four_round_trips(pair_of_channels, qber) -> None:
    truth, noisy = make_strings(6, 200_000, qber)
    pair = pair_of_channels()
    tally, other = await agree(pair, truth, noisy, method="ldpc", expected_qber=qber)
    assert noisy.differing(truth) == 0
    assert tally == other and tally.rounds <= 4
    assert not any(isinstance(message, CascadeBegun) for _, message in pair.sent)


async def test_what_codes_cannot_decode_is_repaired_by_cascade(pair_of_channels) -> None:
    truth, noisy = make_strings(7, 1 << 17, 0.10)  # three times what is expected
    pair = pair_of_channels()
    tally, other = await agree(pair, truth, noisy, method="ldpc")
    assert noisy.differing(truth) == 0
    assert tally == other and tally.repaired_frames > 0
    assert pair.ledgers["bob"].strings["z"].leaked_bits == tally.leaked_bits


@pytest.mark.parametrize(
    "change",
    [
        {"frames": (0, 0)},
        {"frames": (9,)},
        {"first_block": 3},
        {"last_block": 10**6},
        {"last_block": -1},
    ],
)
async def test_hostile_requests_for_parities_are_refused(pair_of_channels, change) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, ParitiesWanted) and message.frames:
            return msgspec.structs.replace(message, **change)
        return message

    truth, noisy = make_strings(8, 100_000, 0.02)
    with pytest.raises(ProtocolError, match="asked what it must not"):
        async with asyncio.timeout(10):
            await agree(pair_of_channels(tamper), truth, noisy, method="ldpc")


@pytest.mark.parametrize(
    "change",
    [
        {"frame_bits": 1},
        {"frame_bits": 0},
        {"frame_bits": -5},
        {"frame_bits": 10**9},
        {"rows": 7},
        {"first_blocks": 0},
        {"first_blocks": 10**9},
    ],
)
async def test_hostile_codes_are_refused_before_anything_is_worked_out(
    pair_of_channels, change
) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, SyndromesBegun):
            return msgspec.structs.replace(message, **change)
        return message

    truth, noisy = make_strings(9, 100_000, 0.02)
    with pytest.raises(ProtocolError, match="asked what it must not"):
        async with asyncio.timeout(10):
            await agree(pair_of_channels(tamper), truth, noisy, method="ldpc")

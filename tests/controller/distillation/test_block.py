"""A block at both ends: keys equal or block discarded, and books that agree."""

import asyncio
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_controller.distillation import reconciliation
from qkd_controller.distillation.block import BlockPart, DistilledBlock, MatchedBlock, distil
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import (
    Bases,
    Confirmation,
    ErrorCounts,
    Figures,
    FrameChecks,
    FramesDisclosed,
    ParitiesTold,
    ParityAnswers,
    StringDisclosed,
    SubsetSeed,
    SyndromesBegun,
)
from qkd_controller.link.channel import Discard
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.message import BlockMessage
from qkd_controller.security.bounds import secret_bits
from qkd_controller.security.leakage import LeakageMonitor, check_leakage
from qkd_controller.security.ledger import BlockLedger, LedgerClass

BLOCK = 7
FIXTURES_ARE_PURE = (HealthCheck.function_scoped_fixture,)


def assert_sound(alice, bob, pair, plan) -> None:
    """Equal keys within the bound and equal books, or no key at either end."""
    if not isinstance(alice, DistilledBlock):
        assert isinstance(alice, BlockDiscarded)
        assert isinstance(bob, BlockDiscarded)
        assert alice.cause == bob.cause
        return
    assert isinstance(bob, DistilledBlock)
    assert alice.key == bob.key
    assert pair.ledgers["alice"] == pair.ledgers["bob"]
    report = alice.report
    assert report.released_bits == 8 * len(alice.key) > 0
    assert report.released_bits <= secret_bits(plan, report.key_string.leaked_bits)
    assert report.released_bits <= secret_bits(plan, plan.leakage_budget_bits)
    key, test = report.key_string, report.test_string
    check_leakage(key.string_bits, key.errors, key.leaked_bits)
    assert key.errors == 0 or key.efficiency > 1
    assert (test.disclosed_bits, test.leaked_bits, key.disclosed_bits) == (plan.test_bits, 0, 0)
    assert report.strings == bob.report.strings
    assert report.epsilons == bob.report.epsilons


def assert_every_leaked_bit_is_in_the_ledger(pair) -> None:
    leaked = Counter[str]()
    disclosed = Counter[str]()
    for _, message in pair.sent:
        if isinstance(message, ParityAnswers | ParitiesTold):
            assert len(message.bits) == -(-message.count // 8)
            leaked[message.string] += message.count
        elif isinstance(message, Confirmation):
            leaked[message.string] += 8 * len(message.tag) - message.covered_bits
        elif isinstance(message, FrameChecks):
            leaked[message.string] += 8 * len(message.checks)
        elif isinstance(message, FramesDisclosed):
            leaked[message.string] += message.count
        elif isinstance(message, StringDisclosed):
            disclosed[message.string] += message.count
        else:
            assert message.ledger_class is LedgerClass.PUBLIC
    for ledger in pair.ledgers.values():
        assert {name: string.leaked_bits for name, string in ledger.strings.items()} == {
            "z": leaked["z"],
            "x": leaked["x"],
        }
        assert {name: string.disclosed_bits for name, string in ledger.strings.items()} == {
            "z": disclosed["z"],
            "x": disclosed["x"],
        }
        assert ledger.messages == len(pair.sent)


@settings(deadline=None, max_examples=25, suppress_health_check=FIXTURES_ARE_PURE)
@given(
    seed=st.integers(0, 2**32),
    qber=st.floats(0, 0.12),
    expected_qber=st.floats(0, 0.12),
    alice_leads=st.booleans(),
    alice_refers=st.booleans(),
    key_basis=st.sampled_from(["z", "x"]),
)
async def test_keys_are_equal_or_the_block_is_discarded(
    make_codes, make_plan, run_pair, seed, qber, expected_qber, alice_leads, alice_refers, key_basis
) -> None:
    codes = make_codes(np.random.default_rng(seed), 24_000, qber)
    plan = make_plan(key_basis=key_basis)
    alice, bob, pair = await run_pair(
        codes,
        plan,
        alice_leads=alice_leads,
        alice_refers=alice_refers,
        expected_qber=expected_qber,
    )
    assert_sound(alice, bob, pair, plan)
    if qber < 0.02 and expected_qber < 0.06:
        assert isinstance(alice, DistilledBlock)
    if qber > 0.06:
        assert isinstance(alice, BlockDiscarded)
    assert not any(own.any() for own in codes), "the codes are wiped"


@settings(deadline=None, max_examples=15, suppress_health_check=FIXTURES_ARE_PURE)
@given(
    seed=st.integers(0, 2**32),
    qber=st.floats(0, 0.02),
    pairs=st.integers(9_000, 60_000),
    max_frame_bits=st.sampled_from([512, 2_000, 1 << 16]),
    test_share=st.floats(0.15, 0.24),
)
async def test_any_lengths(
    make_codes, make_plan, run_pair, seed, qber, pairs, max_frame_bits, test_share
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "MAX_FRAME_BITS", max_frame_bits)
        key_bits = int(pairs * 0.23)
        plan = make_plan(
            pairs=pairs,
            key_bits=key_bits,
            test_bits=int(pairs * test_share),
            qber_tolerance_ratio=0.035,
            leakage_budget_bits=key_bits * 35 // 100,
            epsilon_secrecy=0.5,
        )
        codes = make_codes(np.random.default_rng(seed), pairs, qber)
        alice, bob, pair = await run_pair(codes, plan)
        assert_sound(alice, bob, pair, plan)


@pytest.mark.parametrize("method", ["cascade", "ldpc"])
async def test_every_leaked_bit_is_in_both_ledgers(make_codes, make_plan, run_pair, method) -> None:
    plan = make_plan(pairs=120_000, key_bits=27_000, test_bits=27_000, leakage_budget_bits=9_500)
    codes = make_codes(np.random.default_rng(1), 120_000, 0.02)
    alice, bob, pair = await run_pair(codes, plan, method=method, expected_qber=0.02)
    assert_sound(alice, bob, pair, plan)
    assert isinstance(alice, DistilledBlock)
    assert_every_leaked_bit_is_in_the_ledger(pair)
    assert any(isinstance(message, SyndromesBegun) for _, message in pair.sent) == (
        method == "ldpc"
    )


async def test_codes_are_refused_where_the_link_file_says_cascade(
    make_codes, make_plan, run_pair
) -> None:
    codes = make_codes(np.random.default_rng(1), 24_000, 0.02)
    alice, _, pair = await run_pair(codes, make_plan(reconciliation="cascade"), method="ldpc")
    assert isinstance(alice, ProtocolError)
    assert "rules out" in str(alice)
    assert not any(isinstance(message, ParitiesTold) for _, message in pair.sent)


async def test_the_test_string_is_told_once_and_the_key_string_never(
    make_codes, make_plan, run_pair
) -> None:
    plan = make_plan(key_basis="x")
    _, _, pair = await run_pair(make_codes(np.random.default_rng(1), 24_000, 0.02), plan)
    told = [message for _, message in pair.sent if isinstance(message, StringDisclosed)]
    assert [(message.string, message.count) for message in told] == [("z", plan.test_bits)]


async def test_a_full_size_frame_block_is_efficient(make_codes, make_plan, run_pair) -> None:
    plan = make_plan(
        pairs=560_000,
        key_bits=131_072,
        test_bits=131_072,
        qber_tolerance_ratio=0.03,
        leakage_budget_bits=24_000,
        epsilon_secrecy=1e-10,
        epsilon_correctness=1e-15,
    )
    codes = make_codes(np.random.default_rng(2), 560_000, 0.02)
    alice, bob, pair = await run_pair(codes, plan, expected_qber=0.02)
    assert_sound(alice, bob, pair, plan)
    assert isinstance(alice, DistilledBlock)
    assert 1 < alice.report.key_string.efficiency < 1.10


@settings(deadline=None, max_examples=30, suppress_health_check=FIXTURES_ARE_PURE)
@given(seed=st.integers(0, 2**32), place=st.floats(0, 1), bits=st.integers(1, 8))
async def test_false_answers_are_repaired_or_discard_the_block(
    make_codes, make_plan, run_pair, seed, place, bits
) -> None:
    rng = np.random.default_rng(seed)
    answered = 0
    spoil_from = int(place * 120)

    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        nonlocal answered
        if not isinstance(message, ParityAnswers):
            return message
        answered += 1
        if not spoil_from < answered <= spoil_from + bits:
            return message
        parities = bytearray(message.bits)
        bit = int(rng.integers(message.count))
        parities[bit // 8] ^= 1 << bit % 8
        return msgspec.structs.replace(message, bits=bytes(parities))

    plan = make_plan(leakage_budget_bits=2_200)
    codes = make_codes(rng, 24_000, 0.02)
    alice, bob, pair = await run_pair(codes, plan, tamper=tamper)
    assert_sound(alice, bob, pair, plan)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Bases, lambda m: {"bases": bytes([m.bases[0] ^ 0x55]) + m.bases[1:]}),
        (SubsetSeed, lambda m: {"seed": bytes(32)}),
        (SubsetSeed, lambda m: {"seed": b"short"}),
        (ParityAnswers, lambda m: {"count": m.count + 8, "bits": m.bits + b"\0"}),
        (ParityAnswers, lambda m: {"string": "x" if m.string == "z" else "z"}),
        (Confirmation, lambda m: {"tag": bytes(16)}),
        (Confirmation, lambda m: {"covered_bits": 128}),
        (ErrorCounts, lambda m: {"z": m.z + 1}),
        (ErrorCounts, lambda m: {"x": 10**6}),
        (Figures, lambda m: {"released_bits": m.released_bits + 8}),
    ],
)
async def test_a_falsified_message_never_makes_unequal_keys(
    make_codes, make_plan, run_pair, kind, change
) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, kind):
            return msgspec.structs.replace(message, **change(message))
        return message

    codes = make_codes(np.random.default_rng(3), 24_000, 0.02)
    alice, bob, _ = await run_pair(codes, make_plan(), tamper=tamper)
    keys = [end.key for end in (alice, bob) if isinstance(end, DistilledBlock)]
    assert len(keys) < 2 or (kind is Bases and keys[0] == keys[1])


async def test_too_many_errors_abort(make_codes, make_plan, run_pair) -> None:
    plan = make_plan(leakage_budget_bits=5_500)
    alice, bob, pair = await run_pair(make_codes(np.random.default_rng(4), 24_000, 0.06), plan)
    assert_sound(alice, bob, pair, plan)
    assert "exceeds the tolerated" in alice.cause


async def test_too_few_sifted_bits_abort(make_codes, make_plan, run_pair) -> None:
    plan = make_plan()
    alice, bob, pair = await run_pair(make_codes(np.random.default_rng(5), 20_000, 0.02), plan)
    assert_sound(alice, bob, pair, plan)
    assert "too few sifted" in alice.cause


async def test_unequal_numbers_of_pairs_abort(make_codes, make_plan, run_pair) -> None:
    own, peer = make_codes(np.random.default_rng(6), 24_000, 0.02)
    alice, bob, _ = await run_pair((own, peer[:-1]), make_plan())
    for end in (alice, bob):
        assert isinstance(end, BlockDiscarded)
        assert "come apart" in end.cause


async def test_a_block_too_small_for_any_key_is_discarded(make_codes, make_plan, run_pair) -> None:
    plan = make_plan(epsilon_secrecy=1e-30)
    alice, bob, pair = await run_pair(make_codes(np.random.default_rng(7), 24_000, 0.01), plan)
    assert_sound(alice, bob, pair, plan)
    assert "leaves no key" in alice.cause


async def test_a_correctness_that_no_hash_can_give_is_refused(
    make_codes, make_plan, run_pair
) -> None:
    plan = make_plan(epsilon_correctness=1e-45)
    alice, bob, pair = await run_pair(make_codes(np.random.default_rng(7), 24_000, 0.01), plan)
    assert_sound(alice, bob, pair, plan)
    assert "epsilon_correctness" in alice.cause


@pytest.mark.parametrize("change_bits", [-1, 1])
async def test_the_independent_check_refuses_a_changed_ledger(
    make_codes, make_plan, run_pair, monkeypatch, change_bits
) -> None:
    enter = BlockLedger.enter

    def falsify(self: BlockLedger, ledger_class: LedgerClass, string: str, cost: int) -> None:
        if string == "z" and ledger_class is LedgerClass.LEAKED and self.masked_bits == 0:
            self.masked_bits = 1
            cost += change_bits
        enter(self, ledger_class, string, cost)

    monkeypatch.setattr(BlockLedger, "enter", falsify)
    alice, bob, _ = await run_pair(make_codes(np.random.default_rng(8), 24_000, 0.02), make_plan())
    for end in (alice, bob):
        assert isinstance(end, BlockDiscarded)
        assert "independent check refuses" in end.cause


async def test_ledgers_that_differ_make_no_key(make_codes, make_plan, run_pair) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, Figures) and sender == "alice":
            return msgspec.structs.replace(message, leaked_x_bits=message.leaked_x_bits + 1)
        return message

    codes = make_codes(np.random.default_rng(9), 24_000, 0.02)
    _, bob, _ = await run_pair(codes, make_plan(), tamper=tamper)
    assert isinstance(bob, BlockDiscarded)
    assert "leaked_x_bits" in bob.cause


async def test_more_errors_than_the_leakage_can_have_found_are_a_fault(
    make_codes, make_plan, run_pair
) -> None:
    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if isinstance(message, ErrorCounts):
            return msgspec.structs.replace(message, z=2_000)
        return message

    codes = make_codes(np.random.default_rng(10), 24_000, 0.02)
    alice, bob, _ = await run_pair(codes, make_plan(), tamper=tamper)
    assert isinstance(alice, BlockDiscarded)
    assert isinstance(bob, BlockDiscarded)
    assert "below the information bound" in alice.cause
    assert bob.by_peer


async def test_mean_leakage_is_watched(make_codes, make_plan, run_pair) -> None:
    monitor = LeakageMonitor()
    codes = make_codes(np.random.default_rng(10), 24_000, 0.02)
    alice, _, _ = await run_pair(codes, make_plan(), monitor=monitor)
    assert isinstance(alice, DistilledBlock)
    assert monitor.blocks == 2, "the key string, counted by both ends of this test"
    assert 1 < monitor.efficiency < 2


async def test_nothing_printable_shows_key(make_codes, make_plan, run_pair) -> None:
    codes = make_codes(np.random.default_rng(11), 24_000, 0.01)
    alice, _, _ = await run_pair(codes, make_plan())
    assert isinstance(alice, DistilledBlock)
    matched = MatchedBlock(1, np.ones(3, np.uint8))
    for text in (repr(alice), str(alice), repr(alice.report), repr(matched)):
        assert alice.key.hex() not in text
        assert repr(bytes(alice.key))[2:-1] not in text
        assert "[" not in text


def test_codes_that_cannot_be_wiped_are_refused() -> None:
    with pytest.raises(ValueError, match="writeable"):
        MatchedBlock(1, np.frombuffer(b"\1\2", np.uint8))


@pytest.mark.parametrize("after_messages", [1, 5, 40])
async def test_a_dropped_peer_discards_and_leaves_no_strings_behind(
    make_codes, make_plan, pair_of_channels, monkeypatch, after_messages
) -> None:
    lent: list[np.ndarray] = []
    take = Workspace._take

    def watch(self: Workspace, words: int) -> np.ndarray:
        lent.append(take(self, words))
        lent[-1].fill(0)
        return lent[-1]

    monkeypatch.setattr(Workspace, "_take", watch)
    enough = asyncio.Event()

    def tamper(sender: str, message: BlockMessage) -> BlockMessage:
        if len(pair.sent) >= after_messages:
            enough.set()
        return message

    pair = pair_of_channels(tamper)
    codes = make_codes(np.random.default_rng(12), 24_000, 0.02)
    alice, bob = (
        asyncio.create_task(
            distil(
                MatchedBlock(BLOCK, own),
                pair.channels[name],
                BlockPart(name == "alice", name == "alice"),
                make_plan(),
                0.02,
                Workspace(1 << 24),
                epsilon_authentication=0.0,
            )
        )
        for name, own in zip(("alice", "bob"), codes, strict=True)
    )
    await enough.wait()
    alice.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alice
    pair.queues["bob"].offer(Discard(BLOCK, "the session has ended"), 0)
    with pytest.raises(BlockDiscarded) as caught:
        await bob
    assert caught.value.by_peer
    assert len(lent) >= 4, "both strings at both ends"
    assert not any(secret.any() for secret in [*lent, *codes])

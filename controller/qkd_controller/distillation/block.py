"""One block from matched events to secret key, the same conversation at both ends.

Bases, subset, disclosure of the test string, reconciliation and confirmation of the key string,
error counts, the bound, amplification, the independent check, and a comparison of both ends' books.
Key is made from the plan's key basis only; the string of the other basis is the test, which is told
openly (see qkd_controller.security.bounds).
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.agreement import Agreement
from qkd_controller.distillation.amplification import amplify, draw_seed
from qkd_controller.distillation.confirmation import confirmation_epsilon
from qkd_controller.distillation.conversation import StringConversation, Tally
from qkd_controller.distillation.method import Method
from qkd_controller.distillation.report import BlockReport, StringReport
from qkd_controller.distillation.sifting import choose_subset
from qkd_controller.distillation.threads import aside, in_thread
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import (
    TAG_BYTES,
    AmplificationSeed,
    Bases,
    ErrorCounts,
    Figures,
    StringDisclosed,
    StringName,
    SubsetSeed,
)
from qkd_controller.link.channel import BlockChannel, Discard
from qkd_controller.link.errors import BlockDiscarded, LinkError, ProtocolError
from qkd_controller.security.bounds import (
    Epsilons,
    check_tolerance,
    covered_confirmation_bits,
    released_bits,
)
from qkd_controller.security.check import check_release
from qkd_controller.security.errors import AccountsDisagree, SecurityError
from qkd_controller.security.leakage import LeakageMonitor, check_leakage
from qkd_native.bits import BitString, Words, words_for
from qkd_native.sifting import sift, take_apart

SEED_BYTES = 32
STRINGS: tuple[StringName, StringName] = ("z", "x")


@dataclass(repr=False)
class MatchedBlock:
    """The pairs of a block, in the same order at both ends."""

    block: int
    codes: NDArray[np.uint8]
    """Bit 0: the bit; bit 1: the basis, 0 z, 1 x; bit 2: came from a multi-click."""

    def __post_init__(self) -> None:
        if self.codes.dtype != np.uint8 or self.codes.ndim != 1 or not self.codes.flags.carray:
            raise ValueError("the codes of a block must be a writeable uint8 vector, contiguous")

    def take_apart(self, bits: BitString, bases: BitString) -> int:
        """Moves the codes into two strings and lets go of them; counts those of multi-clicks."""
        multi_clicks = take_apart(self.codes, bits, bases)
        self.codes = np.empty(0, np.uint8)
        return multi_clicks

    def wipe(self) -> None:
        """Overwrites the codes and lets go of them."""
        self.codes.fill(0)
        self.codes = np.empty(0, np.uint8)


@dataclass(frozen=True)
class BlockPart:
    """This end's part; the two roles are independent of each other."""

    commit_leader: bool
    """Draws the subset and the Toeplitz seed."""
    bit_reference: bool
    """Its bits are taken as right; the other end corrects."""


@dataclass(frozen=True, repr=False)
class DistilledBlock:
    """A secret key and how it came about."""

    key: bytearray
    """Whole bytes; the owner wipes it."""
    report: BlockReport


async def distil(
    matched: MatchedBlock,
    channel: BlockChannel,
    part: BlockPart,
    plan: BlockPlan,
    expected_qber: float,
    workspace: Workspace,
    *,
    epsilon_authentication: float,
    method: Method = "cascade",
    monitor: LeakageMonitor | None = None,
    on_sifted: Callable[[int], None] | None = None,
) -> DistilledBlock:
    """Turns a block's pairs into key together with the peer.

    codes must be fixed at both ends before this begins; they are wiped as they are sifted, and when
    it ends, whichever way. Strings and what is worked out of them lie in the workspace's memory.
    expected_qber and method are the corrector's choice of how to reconcile. epsilon_authentication
    is the failure probability of the transcripts' tags, for the report. monitor, kept over all
    blocks of a link, watches their mean leakage. on_sifted is told the number of sifted bits of
    both bases, whatever becomes of the block.

    Raises BlockDiscarded where the block makes no key, after telling the peer if the finding is
    our own; ProtocolError (a LinkError) where the peer does what no honest one does.
    """
    try:
        async with AsyncExitStack() as held:
            distillation = _Distillation(
                matched, channel, part, plan, expected_qber, method, workspace, held
            )
            return await distillation.run(epsilon_authentication, monitor, on_sifted)
    except (BlockDiscarded, SecurityError) as error:
        by_peer = isinstance(error, BlockDiscarded) and error.by_peer
        if not by_peer:
            with suppress(LinkError):
                await channel.send(Discard(matched.block, str(error)))
        raise BlockDiscarded(str(error), by_peer=by_peer) from error
    finally:
        matched.wipe()


class _Distillation:
    """What one block's stages hand on to each other."""

    def __init__(
        self,
        matched: MatchedBlock,
        channel: BlockChannel,
        part: BlockPart,
        plan: BlockPlan,
        expected_qber: float,
        method: Method,
        workspace: Workspace,
        held: AsyncExitStack,
    ) -> None:
        self._matched = matched
        self._channel = channel
        self._part = part
        self._plan = plan
        self._expected_qber = expected_qber
        self._method: Method = method
        self._test_basis: StringName = "x" if plan.key_basis == "z" else "z"
        self._workspace = workspace
        self._held = held
        self._pairs = matched.codes.size
        self._rooms: dict[StringName, Words] = {}
        self._durations_s: dict[str, float] = {}

    async def run(
        self,
        epsilon_authentication: float,
        monitor: LeakageMonitor | None,
        on_sifted: Callable[[int], None] | None,
    ) -> DistilledBlock:
        plan, ledger = self._plan, self._channel.ledger
        with self._stage("sift"):
            strings, multi_clicks = await self._sift()
        sifted_bits = {name: bits.size for name, bits in strings.items()}
        if on_sifted is not None:
            on_sifted(sum(sifted_bits.values()))
        with self._stage("choose"):
            await self._choose(strings)
        key_bits, test_bits = strings[plan.key_basis], strings[self._test_basis]
        with self._stage("test"):
            test_errors = await self._disclose(test_bits)
        received = self._received(key_bits)
        with self._stage("agree"):
            tally = await self._agree(key_bits)
        with self._stage("estimate"):
            errors = await self._count_errors(received, key_bits, test_errors)
        key_ledger, test_ledger = ledger.strings[plan.key_basis], ledger.strings[self._test_basis]
        reports = {
            plan.key_basis: StringReport(
                string_bits=plan.key_bits,
                errors=errors[plan.key_basis],
                leaked_bits=key_ledger.leaked_bits,
                rounds=tally.rounds,
                confirmations=tally.confirmations,
                repaired_frames=tally.repaired_frames,
                disclosed_frames=tally.disclosed_frames,
                answer_s=tally.answer_s,
            ),
            self._test_basis: StringReport(
                string_bits=plan.test_bits,
                errors=errors[self._test_basis],
                disclosed_bits=test_ledger.disclosed_bits,
            ),
        }
        self._check_key_string(reports[plan.key_basis], monitor)
        key_string, test_string = reports[plan.key_basis], reports[self._test_basis]
        length = released_bits(plan, key_string.leaked_bits, test_string.errors)
        if length == 0:
            raise BlockDiscarded("the finite-key bound leaves no key at these block sizes")
        key = bytearray(length // 8)
        try:
            with self._stage("amplify"):
                await self._amplify(key_bits, key)
            with self._stage("check"):
                check_release(
                    plan,
                    ledger.account(),
                    tally.leaked_bits,
                    test_string.errors,
                    8 * len(key),
                )
                await self._compare_books(errors, 8 * len(key))
        except BaseException:
            key[:] = bytes(len(key))
            raise
        report = BlockReport(
            block=self._matched.block,
            pairs=self._pairs,
            multi_clicks=multi_clicks,
            sifted_z_bits=sifted_bits["z"],
            sifted_x_bits=sifted_bits["x"],
            key_basis=plan.key_basis,
            strings=reports,
            released_bits=8 * len(key),
            epsilons=Epsilons(
                secrecy=plan.epsilon_secrecy,
                correctness=plan.epsilon_correctness,
                authentication=epsilon_authentication,
            ),
            durations_s=self._durations_s,
        )
        return DistilledBlock(key, report)

    async def _sift(self) -> tuple[dict[StringName, BitString], int]:
        """Both strings, and how many events came of multi-clicks."""
        block, pairs = self._matched.block, self._pairs
        with self._workspace.beside(self._matched.codes.nbytes):
            for name in STRINGS:
                room = self._workspace.lent(words_for(pairs))
                self._rooms[name] = await self._held.enter_async_context(room)
                self._rooms[name][-1:] = 0
            bits, bases = (BitString(self._rooms[name], pairs) for name in STRINGS)
            multi_clicks = await aside(pairs, self._matched.take_apart, bits, bases)
        await self._channel.send(Bases(block, pairs, bases.packed.data))
        theirs = await self._channel.receive(Bases)
        if theirs.count != pairs:
            raise BlockDiscarded(
                f"the peer matched {theirs.count} pairs, this end {pairs}; "
                "the two ends' slices have come apart"
            )
        z, x = await aside(pairs // 4, sift, bits, bases, theirs.bases)
        return {"z": z, "x": x}, multi_clicks

    async def _choose(self, sifted: dict[StringName, BitString]) -> None:
        """Cuts both strings to the plan's lengths, by a subset that both ends draw alike."""
        quotas = {self._plan.key_basis: self._plan.key_bits, self._test_basis: self._plan.test_bits}
        for name in STRINGS:
            if sifted[name].size < quotas[name]:
                raise BlockDiscarded(
                    f"too few sifted: {sifted[name].size} bits in {name}, "
                    f"the plan needs {quotas[name]}; raise pairs in the link file"
                )
        if self._part.commit_leader:
            seed = secrets.token_bytes(SEED_BYTES)
            await self._channel.send(SubsetSeed(self._matched.block, seed))
        else:
            seed = (await self._channel.receive(SubsetSeed)).seed
            if len(seed) != SEED_BYTES:
                raise ProtocolError(f"a subset seed of {len(seed)} bytes")
        for name in STRINGS:
            string = sifted[name]
            kept = await in_thread(choose_subset, seed, name, string.size, quotas[name])
            await aside(string.packed.nbytes, kept.cut, string)

    async def _disclose(self, string: BitString) -> int:
        """Tells the test string, at the reference, or counts its errors, at the corrector.

        The reference learns of them with those of the key string.
        """
        block, name = self._matched.block, self._test_basis
        if self._part.bit_reference:
            told = StringDisclosed(block, name, string.size, string.to_bytes())
            await self._channel.send(told)
            return 0
        theirs = await self._channel.receive(StringDisclosed)
        if theirs.string != name or theirs.count != string.size:
            raise ProtocolError(f"the peer does not disclose the test string {name}")
        errors = string.differing(BitString.from_bytes(theirs.bits, theirs.count))
        check_tolerance(self._plan, errors)
        return errors

    async def _agree(self, string: BitString) -> Tally:
        plan = self._plan
        talk = StringConversation(self._channel, plan.key_basis, plan.leakage_budget_bits)
        agreement = Agreement(
            bits=string,
            talk=talk,
            is_reference=self._part.bit_reference,
            expected_qber=self._expected_qber,
            method=self._method,
            covered_bits=min(covered_confirmation_bits(plan.epsilon_correctness), 8 * TAG_BYTES),
            workspace=self._workspace,
            codes_allowed=plan.reconciliation != "cascade",
        )
        return await agreement.run()

    def _received(self, string: BitString) -> BitString:
        """The string as it was, at the end that corrects it; where the test string has been."""
        if self._part.bit_reference:
            return BitString.zeros(0)
        return string.copy(self._rooms[self._test_basis][: string.words.size])

    async def _count_errors(
        self, received: BitString, corrected: BitString, test_errors: int
    ) -> dict[StringName, int]:
        plan = self._plan
        if self._part.bit_reference:
            counts = await self._channel.receive(ErrorCounts)
        else:
            found: dict[StringName, int] = {
                plan.key_basis: corrected.differing(received),
                self._test_basis: test_errors,
            }
            counts = ErrorCounts(self._matched.block, found["z"], found["x"])
            await self._channel.send(counts)
        errors: dict[StringName, int] = {"z": counts.z, "x": counts.x}
        lengths = {plan.key_basis: plan.key_bits, self._test_basis: plan.test_bits}
        if not all(0 <= errors[name] <= lengths[name] for name in STRINGS):
            raise ProtocolError("the peer counts more errors than bits")
        return errors

    def _check_key_string(self, string: StringReport, monitor: LeakageMonitor | None) -> None:
        check_leakage(string.string_bits, string.errors, string.leaked_bits)
        if monitor is not None:
            monitor.add(string.string_bits, string.errors, string.leaked_bits)
        collision = confirmation_epsilon(string.string_bits, string.confirmations)
        if collision > self._plan.epsilon_correctness:
            raise AccountsDisagree(
                f"confirmation fails with probability up to {collision:.1e}, more than "
                f"epsilon_correctness = {self._plan.epsilon_correctness:.1e}; raise it"
            )

    async def _amplify(self, string: BitString, key: bytearray) -> None:
        output_bits = 8 * len(key)
        if self._part.commit_leader:
            seed = memoryview(await in_thread(draw_seed, string.size))
            await self._channel.send(AmplificationSeed(self._matched.block, output_bits, seed))
        else:
            message = await self._channel.receive(AmplificationSeed)
            if message.output_bits != output_bits:
                raise AccountsDisagree(
                    f"the peer would release {message.output_bits} bits, this end {output_bits}"
                )
            seed = message.seed
        try:
            await amplify(string, seed, key, self._workspace)
        except ValueError as error:
            raise ProtocolError(f"the peer's Toeplitz seed cannot be used: {error}") from None

    async def _compare_books(self, errors: dict[StringName, int], length_bits: int) -> None:
        """Neither end returns a key unless the other has checked it and has the same figures."""
        own = Figures(
            block=self._matched.block,
            key_bits=self._plan.key_bits,
            test_bits=self._plan.test_bits,
            errors_z=errors["z"],
            errors_x=errors["x"],
            released_bits=length_bits,
            **asdict(self._channel.ledger.account()),
        )
        await self._channel.send(own)
        theirs = await self._channel.receive(Figures)
        if theirs != own:
            differing = [
                name
                for name in own.__struct_fields__
                if getattr(own, name) != getattr(theirs, name)
            ]
            raise AccountsDisagree(f"the two ends' books differ in {', '.join(differing)}")

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._durations_s[name] = time.perf_counter() - begin

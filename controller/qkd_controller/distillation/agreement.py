"""The conversation that makes one string equal at both ends: Cascade, confirmation, repair."""

import hmac
import secrets
from dataclasses import dataclass, field

import numpy as np

from qkd_controller.distillation.bits import Bits, pack_bits, unpack_bits
from qkd_controller.distillation.confirmation import (
    CHECK_BYTES,
    KEY_BYTES,
    confirmation_tag,
    failing_frames,
    frame_checks,
)
from qkd_controller.distillation.reconciliation import (
    SEED_BYTES,
    Frames,
    block_sizes,
    cascade_plan,
    repair_sizes,
)
from qkd_controller.distillation.strings import StringChannel
from qkd_controller.distillation.threads import aside, in_thread
from qkd_controller.link.block_messages import (
    TAG_BYTES,
    CascadeBegun,
    Confirmation,
    ConfirmationVerdict,
    FailingFrames,
    FrameChecks,
    FramesDisclosed,
    ParityAnswers,
    ParityQuestions,
    StringName,
)
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_native.cascade import Corrector, Plan, Questions, Reference

REPAIRS = 2
"""Counted further runs for a frame that does not confirm, before it is disclosed."""


@dataclass
class Tally:
    """What agreeing on one string took."""

    leaked_bits: int = 0
    """As this end worked it out, apart from the ledger."""
    rounds: int = 0
    confirmations: int = 0
    repaired_frames: int = 0
    disclosed_frames: int = 0


@dataclass(repr=False)
class Agreement:
    """One end's part in agreeing on one string.

    run() corrects the bits (uint8, one bit a byte) in place at the corrector and leaves the
    reference's alone. It raises BlockDiscarded if the strings cannot be made equal within the
    limit on leaked bits, ProtocolError for messages that no honest peer sends.
    """

    bits: Bits
    channel: StringChannel
    is_reference: bool
    expected_qber: float
    covered_bits: int
    """Bits of the first confirmation that the bound accounts for elsewhere."""
    leak_limit_bits: int
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._frames = Frames(self.bits.size)

    @property
    def name(self) -> StringName:
        """The string that this is about."""
        return self.channel.name

    async def run(self) -> Tally:
        """Both ends run this at the same time; returns once both know the strings equal."""
        frames = self._frames
        await self._cascade(frames.every, block_sizes(self.expected_qber, frames.frame_bits))
        for attempt in range(REPAIRS + 2):
            if await self._confirm():
                return self.tally
            if attempt > REPAIRS:
                break
            failing = await self._locate()
            if attempt < REPAIRS:
                await self._cascade(failing, repair_sizes(frames.frame_bits))
                self.tally.repaired_frames += len(failing)
            else:
                await self._disclose(failing)
                self.tally.disclosed_frames += len(failing)
        raise BlockDiscarded(f"string {self.name} does not confirm")

    async def _cascade(self, chosen: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        if chosen == self._frames.every:
            await self._search(chosen, self.bits, sizes)
            return
        part = self._frames.gather(self.bits, chosen)
        try:
            await self._search(chosen, part, sizes)
            self._frames.scatter(self.bits, chosen, part)
        finally:
            part.fill(0)

    async def _search(self, chosen: tuple[int, ...], part: Bits, sizes: tuple[int, ...]) -> None:
        if self.is_reference:
            await self._answer(chosen, part)
        else:
            await self._correct(chosen, part, sizes)

    async def _correct(self, chosen: tuple[int, ...], part: Bits, sizes: tuple[int, ...]) -> None:
        seed = secrets.token_bytes(SEED_BYTES)
        await self.channel.send(CascadeBegun(self.channel.block, self.name, seed, sizes, chosen))
        corrector = await in_thread(Corrector, await self._plan(seed, part, sizes), part)
        try:
            questions = await in_thread(corrector.ask)
            while True:
                nodes = questions.astype("<u4", copy=False).tobytes()
                await self.channel.send(ParityQuestions(self.channel.block, self.name, nodes))
                if not questions.size:
                    return
                answers = await self.channel.receive(ParityAnswers)
                if answers.count != questions.size:
                    raise ProtocolError(f"{answers.count} answers to {questions.size} questions")
                self.tally.rounds += 1
                self._count(questions.size)
                corrector.absorb(questions, answers.parities)
                questions = await aside(self._round_bytes(questions), corrector.ask)
        finally:
            corrector.wipe()

    async def _answer(self, chosen: tuple[int, ...], part: Bits) -> None:
        begun = await self.channel.receive(CascadeBegun)
        if begun.frames != chosen or len(begun.seed) != SEED_BYTES:
            raise ProtocolError(f"the peer began Cascade on other frames of string {self.name}")
        try:
            plan = await self._plan(begun.seed, part, begun.block_log2)
        except ValueError as error:
            raise ProtocolError(f"the peer's plan for Cascade cannot be used: {error}") from None
        reference = await in_thread(Reference, plan, part)
        try:
            while True:
                message = await self.channel.receive(ParityQuestions)
                questions = np.frombuffer(message.nodes, "<u4").astype(np.uint32, copy=False)
                if not questions.size:
                    return
                self.tally.rounds += 1
                self._count(questions.size)
                try:
                    parities = await aside(
                        self._round_bytes(questions), reference.answer, questions
                    )
                except ValueError as error:
                    raise ProtocolError(f"the peer asked what it must not: {error}") from None
                await self.channel.send(
                    ParityAnswers(self.channel.block, self.name, questions.size, parities)
                )
        finally:
            reference.wipe()

    def _round_bytes(self, questions: Questions) -> int:
        """About what a round touches: the questions' nodes, and a little of each frame."""
        return questions.nbytes + self.bits.size // 256

    async def _plan(self, seed: bytes, part: Bits, sizes: tuple[int, ...]) -> Plan:
        return await in_thread(cascade_plan, seed, part.size, self._frames.frame_bits, sizes)

    async def _confirm(self) -> bool:
        covered = 0 if self.tally.confirmations else self.covered_bits
        self.tally.confirmations += 1
        self._count(8 * TAG_BYTES - covered)
        if self.is_reference:
            key = secrets.token_bytes(KEY_BYTES)
            tag = await aside(self.bits.size, confirmation_tag, key, self.bits)
            await self.channel.send(Confirmation(self.channel.block, self.name, key, tag, covered))
            return (await self.channel.receive(ConfirmationVerdict)).equal
        message = await self.channel.receive(Confirmation)
        if message.covered_bits != covered:
            raise ProtocolError(f"the peer charges a confirmation of string {self.name} wrongly")
        tag = await aside(self.bits.size, confirmation_tag, message.key, self.bits)
        equal = hmac.compare_digest(tag, message.tag)
        await self.channel.send(ConfirmationVerdict(self.channel.block, self.name, equal))
        return equal

    async def _locate(self) -> tuple[int, ...]:
        """The frames that differ, so far as 32-bit checks tell."""
        frames = self._frames
        self._count(8 * CHECK_BYTES * frames.count)
        if self.is_reference:
            key = secrets.token_bytes(KEY_BYTES)
            checks = await in_thread(frame_checks, key, self.bits, frames)
            await self.channel.send(FrameChecks(self.channel.block, self.name, key, checks))
            failing = (await self.channel.receive(FailingFrames)).frames
            if not failing or failing != tuple(sorted(set(failing) & set(frames.every))):
                raise ProtocolError(f"the peer names frames that string {self.name} has not")
            return failing
        message = await self.channel.receive(FrameChecks)
        checks = await in_thread(frame_checks, message.key, self.bits, frames)
        try:
            failing = failing_frames(checks, message.checks)
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        if not failing:
            raise BlockDiscarded(f"string {self.name} differs, but none of its frames does")
        await self.channel.send(FailingFrames(self.channel.block, self.name, failing))
        return failing

    async def _disclose(self, chosen: tuple[int, ...]) -> None:
        """Charged in full: frames chosen by their errors are no random sample."""
        part = self._frames.gather(self.bits, chosen)
        try:
            self._count(part.size)
            if self.is_reference:
                packed = pack_bits(part).tobytes()
                await self.channel.send(
                    FramesDisclosed(self.channel.block, self.name, part.size, packed)
                )
                return
            message = await self.channel.receive(FramesDisclosed)
            if message.count != part.size:
                raise ProtocolError(f"{message.count} disclosed bits instead of {part.size}")
            self._frames.scatter(self.bits, chosen, unpack_bits(message.bits, message.count))
        finally:
            part.fill(0)

    def _count(self, leaked_bits: int) -> None:
        """Counts what is about to leak. Both ends reach the limit at the same message."""
        self.tally.leaked_bits += leaked_bits
        if self.tally.leaked_bits > self.leak_limit_bits:
            raise BlockDiscarded(
                f"agreeing on string {self.name} would leak {self.tally.leaked_bits} bits "
                f"or more, {self.leak_limit_bits} are allowed"
            )

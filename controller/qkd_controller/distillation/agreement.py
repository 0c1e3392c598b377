"""Makes one string equal at both ends: reconciliation, confirmation, repair."""

import hmac
import secrets
from dataclasses import dataclass

from qkd_controller.distillation import cascading, decoding
from qkd_controller.distillation.confirmation import (
    KEY_BYTES,
    confirmation_tag,
    failing_frames,
    frame_checks,
)
from qkd_controller.distillation.conversation import StringConversation, Tally
from qkd_controller.distillation.method import Method
from qkd_controller.distillation.reconciliation import Frames, repair_sizes
from qkd_controller.distillation.threads import aside, in_thread
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import (
    CHECK_BYTES,
    TAG_BYTES,
    CascadeBegun,
    Confirmation,
    ConfirmationVerdict,
    FailingFrames,
    FrameChecks,
    FramesDisclosed,
    SyndromesBegun,
)
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_native.bits import BitString

REPAIRS = 2
"""Counted further runs for a frame that does not confirm, before it is disclosed."""


@dataclass(repr=False)
class Agreement:
    """One end's part in agreeing on one string.

    run() corrects the bits in place at the corrector and leaves the reference's alone. It raises
    BlockDiscarded if the strings cannot be made equal within the limit on leaked bits,
    ProtocolError for messages that no honest peer sends. expected_qber and method are the
    corrector's affair; the reference follows.
    """

    bits: BitString
    talk: StringConversation
    is_reference: bool
    expected_qber: float
    method: Method
    covered_bits: int
    """Bits of the first confirmation that the bound accounts for elsewhere."""
    workspace: Workspace
    codes_allowed: bool = True
    """Whether the link file lets the corrector choose codes."""

    def __post_init__(self) -> None:
        self._frames = Frames(self.bits.size)

    async def run(self) -> Tally:
        """Both ends run this at the same time; returns once both know the strings equal."""
        await (self._follow() if self.is_reference else self._reconcile())
        tally = self.talk.tally
        for attempt in range(REPAIRS + 2):
            if await self._confirm():
                return tally
            if attempt > REPAIRS:
                break
            failing = await self._locate()
            if attempt < REPAIRS:
                await self._repair(failing, first=attempt == 0)
                tally.repaired_frames += len(failing)
            else:
                await self._disclose(failing)
                tally.disclosed_frames += len(failing)
        raise BlockDiscarded(f"string {self.talk.name} does not confirm")

    async def _reconcile(self) -> None:
        if self.method == "ldpc":
            await decoding.decode(self.talk, self.bits, self.expected_qber, self.workspace)
            return
        frames = self._frames
        await cascading.correct(
            self.talk,
            frames.every,
            self.bits,
            frames.frame_bits,
            self.expected_qber,
            self.workspace,
        )

    async def _follow(self) -> None:
        begun = await self.talk.receive_either(CascadeBegun, SyndromesBegun)
        if isinstance(begun, SyndromesBegun):
            if not self.codes_allowed:
                raise ProtocolError(
                    f"the peer reconciles string {self.talk.name} by codes, which the link file "
                    "rules out"
                )
            await decoding.tell_parities(self.talk, self.bits, begun)
            return
        frames = self._frames
        await cascading.answer(
            self.talk, frames.every, self.bits, frames.frame_bits, begun, self.workspace
        )

    async def _repair(self, failing: tuple[int, ...], *, first: bool) -> None:
        frames, talk = self._frames, self.talk
        part = frames.gather(self.bits, failing)
        try:
            if self.is_reference:
                begun = await talk.receive(CascadeBegun)
                await cascading.answer(
                    talk, failing, part, frames.frame_bits, begun, self.workspace
                )
                return
            # A frame that a code could not decode still has all of its errors.
            undecoded = first and self.method == "ldpc"
            sizes = self.expected_qber if undecoded else repair_sizes(frames.frame_bits)
            await cascading.correct(talk, failing, part, frames.frame_bits, sizes, self.workspace)
            frames.scatter(self.bits, failing, part)
        finally:
            part.wipe()

    async def _confirm(self) -> bool:
        covered = 0 if self.talk.tally.confirmations else self.covered_bits
        self.talk.tally.confirmations += 1
        self.talk.count(8 * TAG_BYTES - covered)
        if self.is_reference:
            key = secrets.token_bytes(KEY_BYTES)
            tag = await aside(self.bits.packed.nbytes, confirmation_tag, key, self.bits)
            await self.talk.send(Confirmation(self.talk.block, self.talk.name, key, tag, covered))
            return (await self.talk.receive(ConfirmationVerdict)).equal
        message = await self.talk.receive(Confirmation)
        if message.covered_bits != covered:
            raise ProtocolError(
                f"the peer charges a confirmation of string {self.talk.name} wrongly"
            )
        tag = await aside(self.bits.packed.nbytes, confirmation_tag, message.key, self.bits)
        equal = hmac.compare_digest(tag, message.tag)
        await self.talk.send(ConfirmationVerdict(self.talk.block, self.talk.name, equal))
        return equal

    async def _locate(self) -> tuple[int, ...]:
        """The frames that differ, so far as 32-bit checks tell."""
        frames = self._frames
        self.talk.count(8 * CHECK_BYTES * frames.count)
        if self.is_reference:
            key = secrets.token_bytes(KEY_BYTES)
            checks = await in_thread(frame_checks, key, self.bits, frames)
            await self.talk.send(FrameChecks(self.talk.block, self.talk.name, key, checks))
            failing = (await self.talk.receive(FailingFrames)).frames
            if not failing or failing != tuple(sorted(set(failing) & set(frames.every))):
                raise ProtocolError(f"the peer names frames that string {self.talk.name} has not")
            return failing
        message = await self.talk.receive(FrameChecks)
        checks = await in_thread(frame_checks, message.key, self.bits, frames)
        try:
            failing = failing_frames(checks, message.checks)
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        if not failing:
            raise BlockDiscarded(f"string {self.talk.name} differs, but none of its frames does")
        await self.talk.send(FailingFrames(self.talk.block, self.talk.name, failing))
        return failing

    async def _disclose(self, chosen: tuple[int, ...]) -> None:
        """Charged in full: frames chosen by their errors are no random sample."""
        part = self._frames.gather(self.bits, chosen)
        try:
            self.talk.count(part.size)
            if self.is_reference:
                await self.talk.send(
                    FramesDisclosed(self.talk.block, self.talk.name, part.size, part.to_bytes())
                )
                return
            message = await self.talk.receive(FramesDisclosed)
            if message.count != part.size:
                raise ProtocolError(f"{message.count} disclosed bits instead of {part.size}")
            told = BitString.from_bytes(message.bits, message.count)
            self._frames.scatter(self.bits, chosen, told)
            told.wipe()
        finally:
            part.wipe()

"""One run of Cascade over some frames of a string: the corrector asks, the reference answers.

Where the corrector does not know the error rate well enough to say how long first blocks should
be, it halves them while asking (`FirstBlocks`) and then begins again by the same seed with the
sizes found and the first pass open: no parity is told twice.
"""

import secrets

from qkd_controller.distillation.conversation import StringConversation
from qkd_controller.distillation.reconciliation import (
    SEED_BYTES,
    FirstBlocks,
    cascade_plan,
    first_blocks_plan,
)
from qkd_controller.distillation.threads import aside, in_thread
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import CascadeBegun, ParityAnswers, ParityQuestions
from qkd_controller.link.errors import ProtocolError
from qkd_native.bits import BitString
from qkd_native.cascade import (
    MAX_PASSES,
    Corrector,
    Plan,
    Questions,
    Reference,
    decode,
    encode,
    opening_questions,
)


async def correct(
    talk: StringConversation,
    chosen: tuple[int, ...],
    part: BitString,
    frame_bits: int,
    sizes: tuple[int, ...] | float,
    workspace: Workspace,
) -> None:
    """Corrects the chosen frames' bits, one frame after another, in place.

    sizes are log2 of each pass's blocks, or the error rate that is expected.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    opened = None
    if isinstance(sizes, float):
        plan = await in_thread(first_blocks_plan, seed, part.size, frame_bits, sizes)
        async with workspace.lent(plan.state_words) as memory:
            first = await in_thread(FirstBlocks, plan, part, sizes, memory)
            try:
                await talk.send(CascadeBegun(talk.block, talk.name, seed, plan.block_log2, chosen))
                await _ask(talk, first, part.size)
                sizes, opened = first.sizes, first.parities
            finally:
                first.wipe()
    await talk.send(CascadeBegun(talk.block, talk.name, seed, sizes, chosen))
    plan = await in_thread(cascade_plan, seed, part.size, frame_bits, sizes)
    async with workspace.lent(plan.state_words) as memory:
        corrector = await in_thread(Corrector, plan, part, memory)
        if opened is not None:
            corrector.absorb(await in_thread(corrector.ask), opened)
        await _ask(talk, corrector, part.size)


async def answer(
    talk: StringConversation,
    chosen: tuple[int, ...],
    part: BitString,
    frame_bits: int,
    begun: CascadeBegun,
    workspace: Workspace,
) -> None:
    """Answers what the corrector asks in the run that has begun, and in one that goes on from it.

    A run of a single pass looks for the length of first blocks: another one follows it.
    """
    plan = await _plan(talk, begun, chosen, part.size, frame_bits)
    async with workspace.lent(plan.state_words) as memory:
        await _answer(talk, await in_thread(Reference, plan, part, memory), part.size)
    if len(begun.block_log2) > 1:
        return
    again = await talk.receive(CascadeBegun)
    plan = await _plan(talk, again, chosen, part.size, frame_bits)
    if again.seed != begun.seed or len(again.block_log2) == 1:
        raise ProtocolError(f"the peer does not go on with Cascade on string {talk.name}")
    async with workspace.lent(plan.state_words) as memory:
        reference = await in_thread(Reference, plan, part, memory)
        await in_thread(reference.answer, opening_questions(plan))
        await _answer(talk, reference, part.size)


async def _ask(talk: StringConversation, end: FirstBlocks | Corrector, string_bits: int) -> None:
    questions, nodes = await in_thread(_asked, end)
    while True:
        request = ParityQuestions(talk.block, talk.name, questions.size, nodes)
        if not questions.size:
            await talk.send(request)
            return
        answers = await talk.ask(request, ParityAnswers)
        if answers.count != questions.size:
            raise ProtocolError(f"{answers.count} answers to {questions.size} questions")
        talk.tally.rounds += 1
        talk.count(questions.size)
        work = _round_bytes(questions.size, string_bits)
        questions, nodes = await aside(work, _absorbed, end, questions, answers.bits)


async def _answer(talk: StringConversation, reference: Reference, string_bits: int) -> None:
    try:
        while True:
            message = await talk.receive(ParityQuestions)
            if not message.count:
                return
            if message.count > _most_questions(string_bits):
                raise ProtocolError(f"{message.count} questions about {string_bits} bits at once")
            talk.tally.rounds += 1
            talk.count(message.count)
            try:
                parities = await aside(
                    _round_bytes(message.count, string_bits), _answered, reference, message
                )
            except ValueError as error:
                raise ProtocolError(f"the peer asked what it must not: {error}") from None
            await talk.send(ParityAnswers(talk.block, talk.name, message.count, parities))
    finally:
        reference.wipe()


def _absorbed(
    end: FirstBlocks | Corrector, questions: Questions, parities: bytes
) -> tuple[Questions, memoryview]:
    end.absorb(questions, parities)
    return _asked(end)


def _asked(end: FirstBlocks | Corrector) -> tuple[Questions, memoryview]:
    questions = end.ask()
    return questions, encode(questions)


def _answered(reference: Reference, message: ParityQuestions) -> bytes:
    questions: Questions = decode(message.nodes, message.count)
    return reference.answer(questions)


async def _plan(
    talk: StringConversation,
    begun: CascadeBegun,
    chosen: tuple[int, ...],
    part_bits: int,
    frame_bits: int,
) -> Plan:
    if begun.frames != chosen or len(begun.seed) != SEED_BYTES:
        raise ProtocolError(f"the peer began Cascade on other frames of string {talk.name}")
    try:
        return await in_thread(cascade_plan, begun.seed, part_bits, frame_bits, begun.block_log2)
    except ValueError as error:
        raise ProtocolError(f"the peer's plan for Cascade cannot be used: {error}") from None


def _most_questions(string_bits: int) -> int:
    """No round asks more than there are blocks in all passes, each of two leaves or more."""
    return (2 + MAX_PASSES) * string_bits + 1


def _round_bytes(questions: int, string_bits: int) -> int:
    """About what a round touches: the questions' nodes, and a little of each frame."""
    return 4 * questions + string_bits // 2048

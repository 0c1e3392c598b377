"""A whole string reconciled by LDPC codes: at most four requests, and their answers."""

from qkd_controller.distillation.conversation import StringConversation
from qkd_controller.distillation.syndrome import (
    ParityRequest,
    SyndromeCorrector,
    SyndromePlan,
    SyndromeReference,
    syndrome_plan,
)
from qkd_controller.distillation.threads import in_thread
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.link.block_messages import ParitiesTold, ParitiesWanted, SyndromesBegun
from qkd_controller.link.errors import ProtocolError
from qkd_native.bits import BitString


async def decode(
    talk: StringConversation, bits: BitString, expected_qber: float, workspace: Workspace
) -> None:
    """Corrects bits in place; frames that could not be decoded are left as they were."""
    plan = syndrome_plan(bits.size, expected_qber)
    await talk.send(
        SyndromesBegun(talk.block, talk.name, plan.frame_bits, plan.rows, plan.first_blocks)
    )
    decoder_words = await in_thread(lambda: plan.code.decoder_words)
    async with workspace.lent(decoder_words) as memory:
        corrector = SyndromeCorrector(plan, bits, memory)
        while (request := corrector.ask()) is not None:
            told = await talk.ask(ParitiesWanted(talk.block, talk.name, *request), ParitiesTold)
            if told.count != plan.leaked_bits(request):
                raise ProtocolError(f"{told.count} parities were told that were not asked for")
            talk.tally.rounds += 1
            talk.count(told.count)
            await in_thread(corrector.absorb, request, told.bits)
    await talk.send(ParitiesWanted(talk.block, talk.name, 0, 0, ()))


async def tell_parities(talk: StringConversation, bits: BitString, begun: SyndromesBegun) -> None:
    """Tells the parities that the corrector asks for."""
    try:
        plan = SyndromePlan(bits.size, begun.frame_bits, begun.rows, begun.first_blocks)
        reference = SyndromeReference(plan, bits)
        while (wanted := await talk.receive(ParitiesWanted)).frames:
            request = ParityRequest(wanted.first_block, wanted.last_block, wanted.frames)
            reference.check(request)
            leaked_bits = plan.leaked_bits(request)
            talk.tally.rounds += 1
            talk.count(leaked_bits)
            parities = await in_thread(reference.answer, request)
            await talk.send(ParitiesTold(talk.block, talk.name, leaked_bits, parities))
    except ValueError as error:
        raise ProtocolError(f"the peer asked what it must not: {error}") from None

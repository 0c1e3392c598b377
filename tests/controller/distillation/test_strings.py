"""Messages about two strings in one conversation reach whom they are for, and nobody else."""

import asyncio

import pytest

from qkd_controller.distillation.strings import MOST_WAITING, StringChannels, together
from qkd_controller.link.block_messages import ConfirmationVerdict, ErrorCounts, FailingFrames
from qkd_controller.link.channel import BlockChannel, Discard
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.message import BlockMessage
from qkd_controller.security.ledger import BlockLedger

BLOCK = 3


@pytest.fixture
def incoming() -> "asyncio.Queue[BlockMessage]":
    return asyncio.Queue()


@pytest.fixture
def channel(incoming) -> BlockChannel:
    async def nowhere(message: BlockMessage) -> None:
        """Nobody listens."""

    return BlockChannel(BLOCK, BlockLedger(), nowhere, incoming)


def named(string: str, *frames: int) -> FailingFrames:
    return FailingFrames(BLOCK, string, frames)


async def test_each_string_hears_its_own_messages_in_order(channel, incoming) -> None:
    sent = [named("x", 1), named("z", 2), named("z", 3), named("x", 4), named("z", 5)]
    channels = StringChannels(channel)

    async def hear(name: str, count: int) -> list[FailingFrames]:
        return [await channels[name].receive(FailingFrames) for _ in range(count)]

    listening = asyncio.create_task(together(hear("z", 3), hear("x", 2)))
    for message in sent:
        await asyncio.sleep(0)
        incoming.put_nowait(message)
    assert await listening == [[m for m in sent if m.string == name] for name in "zx"]


async def test_what_comes_after_both_strings_stays_in_the_channel(channel, incoming) -> None:
    channels = StringChannels(channel)
    after = ErrorCounts(BLOCK, 1, 2)
    for message in (named("x"), named("z"), after):
        incoming.put_nowait(message)
    await together(channels["z"].receive(FailingFrames), channels["x"].receive(FailingFrames))
    assert await channel.receive(ErrorCounts) == after


async def test_a_discarded_block_ends_both_strings(channel, incoming) -> None:
    channels = StringChannels(channel)
    incoming.put_nowait(Discard(BLOCK, "too noisy"))
    with pytest.raises(BlockDiscarded, match="too noisy"):
        await together(channels["z"].receive(FailingFrames), channels["x"].receive(FailingFrames))


async def test_an_error_that_ends_the_session_outranks_a_discarded_block() -> None:
    async def fail(error: Exception) -> None:
        raise error

    with pytest.raises(ProtocolError):
        await together(fail(BlockDiscarded("too noisy")), fail(ProtocolError("nonsense")))


async def test_a_message_of_another_kind_is_refused(channel, incoming) -> None:
    incoming.put_nowait(named("x"))
    with pytest.raises(ProtocolError, match="expected ConfirmationVerdict"):
        await StringChannels(channel)["x"].receive(ConfirmationVerdict)


async def test_a_peer_that_talks_on_about_one_string_is_refused(channel, incoming) -> None:
    for _ in range(MOST_WAITING + 1):
        incoming.put_nowait(named("x"))
    with pytest.raises(ProtocolError, match="too much about string x"):
        await StringChannels(channel)["z"].receive(FailingFrames)


async def test_nothing_is_said_about_the_other_string(channel) -> None:
    with pytest.raises(ValueError, match="not z"):
        await StringChannels(channel)["z"].send(named("x"))

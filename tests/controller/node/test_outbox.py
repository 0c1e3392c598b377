"""The outbox keeps order, and ends the session rather than take all memory."""

import asyncio

import pytest

from qkd_controller.link.acquisition_messages import TestDisclosure
from qkd_controller.link.errors import LinkError
from qkd_controller.node.outbox import Outbox


def message(index: int, size: int = 1000) -> TestDisclosure:
    return TestDisclosure(1, index, bytes(size))


async def test_messages_leave_in_order_and_a_reader_waits_for_them() -> None:
    outbox = Outbox()
    first = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.put(message(1))
    outbox.put(message(2))
    assert await first == message(1)
    assert await outbox.get() == message(2)


async def test_what_is_read_makes_room() -> None:
    outbox = Outbox(limit_bytes=5000)
    for round_ in range(50):
        outbox.put(message(round_))
        assert (await outbox.get()) == message(round_)


async def test_a_peer_that_does_not_read_ends_the_session() -> None:
    outbox = Outbox(limit_bytes=5000)
    with pytest.raises(LinkError, match="reads more slowly"):
        for index in range(50):
            outbox.put(message(index))


async def test_a_single_large_message_is_never_refused() -> None:
    outbox = Outbox(limit_bytes=10)
    outbox.put(message(1))
    assert await outbox.get() == message(1)

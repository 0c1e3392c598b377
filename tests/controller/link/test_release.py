"""Blocks are released at both ends or at neither, in order, whatever fails on the way."""

import asyncio

import pytest
from two_sessions import KEY, connected, until

from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.keys.errors import PadExhausted, StoreError
from qkd_controller.link.channel import Discard
from qkd_controller.link.errors import (
    BlockDiscarded,
    LinkError,
    ProtocolError,
)
from qkd_controller.link.message import BlockMessage
from qkd_controller.link.release import COMMIT_PAD_BYTES, RESERVED_PAD_BYTES
from qkd_controller.security.ledger import BlockLedger


async def test_blocks_are_released_in_the_order_in_which_they_were_opened(bench, stores):
    async with connected(bench, stores) as ends:
        opened = {number: ends.open(number) for number in (1, 2, 3)}
        releases = {
            number: asyncio.create_task(ends.release(number, opened[number])) for number in (3, 2)
        }
        await ends.leader.send(bench.Note(b"after"))
        await anext(ends.follower.messages())
        assert not any(store.prepared or store.released for store in stores)
        assert await ends.release(1, opened[1]) == [None, None]
        assert [await releases[number] for number in (2, 3)] == [[None, None]] * 2
    assert list(stores[0].released) == list(stores[1].released) == [1, 2, 3]


async def test_a_discarded_block_does_not_hold_up_those_after_it(bench, stores):
    async with connected(bench, stores) as ends:
        first, second = ends.open(1), ends.open(2)
        waiting = asyncio.create_task(ends.release(2, second))
        await first[0].send(Discard(1, "too noisy"))
        with pytest.raises(BlockDiscarded):
            await first[1].receive(bench.Seed)
        for session in ends.sessions:
            session.close_block(1)
        assert await waiting == [None, None]
    assert list(stores[0].released) == list(stores[1].released) == [2]


async def test_the_follower_prepares_ahead_of_the_leaders_word(bench, stores):
    async with connected(bench, stores) as ends:
        held = []
        ends.pipes[1].on_write = lambda data: held.append(data) or b""
        opened = {number: ends.open(number) for number in (1, 2, 3)}
        releases = [asyncio.create_task(ends.release(n, opened[n])) for n in (1, 2, 3)]
        await until(lambda: len(stores[1].released) == 3)
        assert list(stores[0].prepared) == [1, 2, 3]
        assert not stores[0].released
        ends.pipes[1].on_write = bytes
        ends.pipes[1].write(b"".join(held))
        assert await asyncio.gather(*releases) == [[None, None]] * 3
    assert list(stores[0].released) == list(stores[1].released) == [1, 2, 3]
    assert stores[0].pads == stores[1].pads
    assert stores[0].cursors == stores[1].cursors


async def test_with_little_pad_each_block_waits_for_the_last_ones_refill(bench):
    pads = [bench.secret(f"pad {d}", 96 + COMMIT_PAD_BYTES + RESERVED_PAD_BYTES) for d in (0, 1)]
    stores = tuple(bench.MemoryStore(pads=list(pads)) for _ in range(2))
    async with connected(bench, stores) as ends:
        opened = {number: ends.open(number) for number in range(1, 6)}
        releases = [ends.release(n, opened[n], (4 * KEY, 4 * KEY), 256) for n in opened]
        assert await asyncio.gather(*releases) == [[None, None]] * 5


async def test_a_release_that_waits_ends_with_its_session(bench, stores):
    async with connected(bench, stores) as ends:
        ends.open(1)
        waiting = asyncio.create_task(ends.release(2, ends.open(2)))
        await ends.leader.send(bench.Note(b"after"))
        await anext(ends.follower.messages())
        ends.pipes[0].close()
        assert all(isinstance(result, LinkError) for result in await waiting)
    assert not any(store.prepared or store.released for store in stores)


async def test_a_discarded_block_ends_at_both_ends_and_the_link_carries_on(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        await channels[0].send(Discard(1, "too noisy"))
        ends.follower.close_block(1)
        block = AmplifiedBlock(1, bytearray(KEY), 32, 1e-10)
        with pytest.raises(BlockDiscarded, match="too noisy") as caught:
            await ends.leader.release(block, channels[1])
        assert caught.value.by_peer
        assert not any(block.key)
        assert await ends.release(2) == [None, None]


@pytest.mark.parametrize("difference", [{"keys": (KEY, KEY + b"x")}])
async def test_blocks_of_unequal_shape_are_not_released(bench, stores, difference):
    async with connected(bench, stores) as ends:
        results = await ends.release(1, **difference)
        assert isinstance(results[1], ProtocolError)
    assert not stores[0].released and not stores[1].released


async def test_every_commit_is_entered_in_both_ledgers(bench, stores):
    async with connected(bench, stores) as ends:
        ledgers = [BlockLedger(), BlockLedger()]
        channels = [
            session.open_block(1, ledger)
            for session, ledger in zip(ends.sessions, ledgers, strict=True)
        ]
        await ends.release(1, channels)
        assert ledgers[0] == ledgers[1]
        assert ledgers[0].masked_bits == 2 * 8 * COMMIT_PAD_BYTES


async def test_every_message_is_in_the_ledger_before_it_is_on_the_wire(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        behind = []

        def watch(end, heard):
            sent = 0

            def on_write(data):
                nonlocal sent
                message = bench.CODEC.decode(data[4:]).message
                if isinstance(message, BlockMessage):
                    sent += 1
                    if channels[end].ledger.messages < sent + heard:
                        behind.append(type(message).__name__)
                return data

            return on_write

        ends.pipes[0].on_write = watch(0, 0)
        # The leader has heard both messages of the follower before it says its own.
        ends.pipes[1].on_write = watch(1, 2)
        assert await ends.release(1, channels) == [None, None]
        assert not behind


async def test_too_little_pad_stops_the_release_before_anything_is_prepared(bench):
    pads = [bench.secret(f"pad {d}", 64 + COMMIT_PAD_BYTES + RESERVED_PAD_BYTES) for d in (0, 1)]
    stores = tuple(bench.MemoryStore(pads=list(pads)) for _ in range(2))
    async with connected(bench, stores) as ends:
        assert await ends.release(1, refill=0) == [None, None]
        results = await ends.release(2, refill=0)
        assert any(isinstance(result, PadExhausted) for result in results)
        assert not stores[0].prepared
    async with connected(bench, stores):
        """What is held back is enough to resume."""


async def test_a_full_disk_at_the_leader_leaves_the_block_to_the_next_session(
    bench, stores, monkeypatch
):
    def full(block):
        raise StoreError("the disk is full")

    async with connected(bench, stores) as ends:
        monkeypatch.setattr(stores[1], "release", full)
        results = await ends.release(1)
        assert isinstance(results[0], LinkError)
        assert str(results[1]) == "the disk is full"
        assert list(stores[0].prepared) == [1]
        assert isinstance(await ends.why(1), StoreError)
    monkeypatch.undo()
    async with connected(bench, stores) as ends:
        assert not stores[0].prepared and not stores[0].released
        assert ends.leader.next_block == ends.follower.next_block == 2
        assert await ends.release(2) == [None, None]


async def test_a_follower_cancelled_in_its_commit_ends_the_session(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        block = AmplifiedBlock(1, bytearray(KEY), 32, 1e-10)
        task = asyncio.create_task(ends.follower.release(block, channels[0]))
        await until(lambda: stores[0].prepared)
        task.cancel()
        await asyncio.wait([task])
        assert "abandoned" in str(await ends.why(0))
        assert list(stores[0].prepared) == [1]


async def test_a_discard_cannot_undo_what_is_prepared(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        block = AmplifiedBlock(1, bytearray(KEY), 32, 1e-10)
        await channels[1].send(Discard(1, "says an intruder"))
        with pytest.raises(LinkError, match="its record decides"):
            await ends.follower.release(block, channels[0])
        assert list(stores[0].prepared) == [1]

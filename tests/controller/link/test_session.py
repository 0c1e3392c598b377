"""Two sessions over a memory pipe."""

import asyncio

import pytest

from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.link.errors import LinkError
from qkd_controller.security.ledger import BlockLedger


@pytest.fixture
def stores(bench):
    return bench.MemoryStore(), bench.MemoryStore()


async def connected(bench, stores):
    pipes = bench.MemoryPipe.pair()
    opened = await asyncio.gather(
        *(
            bench.open_session(name, pipe, bench.DurableStore(store, bench.inline))
            for name, pipe, store in zip(("alice", "bob"), pipes, stores, strict=True)
        )
    )
    return opened[0][0], opened[1][0]


async def release_both(alice, bob, number, key=bytes(range(64)), refill=32):
    blocks = [AmplifiedBlock(number, bytearray(key), refill, 1e-10) for _ in range(2)]
    channels = [s.open_block(number, BlockLedger()) for s in (alice, bob)]
    await asyncio.gather(alice.release(blocks[0], channels[0]), bob.release(blocks[1], channels[1]))
    return blocks


async def test_blocks_are_released_at_both_ends_and_refill_the_pad(bench, stores):
    alice, bob = await connected(bench, stores)
    async with asyncio.TaskGroup() as group:
        group.create_task(alice.run())
        group.create_task(bob.run())
        for number in (1, 2, 5):
            await alice.send(bench.Note(b"times"))
            blocks = await release_both(alice, bob, number)
            assert all(not any(block.key) for block in blocks)
        alice.close()
        with pytest.raises(LinkError):
            await bob._ended.wait()
            bob._check_alive()
        bob.close()
    assert stores[0].released == stores[1].released

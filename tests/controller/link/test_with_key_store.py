"""The protocol over the store that nodes use: pools stay equal through a lost session."""

import asyncio

import pytest
from busy import busy_threads

from qkd_controller.keys.contract import AmplifiedBlock, Half
from qkd_controller.keys.link_store import open_link
from qkd_controller.keys.pairing import import_pairing, make_pairing
from qkd_controller.keys.pool import KeyPool
from qkd_controller.keys.store import KeyStore
from qkd_controller.link.errors import LinkError
from qkd_controller.security.ledger import BlockLedger

KEY = bytes(range(256)) * 2


@pytest.fixture
def stores(bench, tmp_path):
    """Alice follows, Bob leads."""
    link = bench.link_file()
    secret = make_pairing(link, pad_bytes=4096)
    opened = []
    with KeyStore(tmp_path / "alice") as alice, KeyStore(tmp_path / "bob") as bob:
        for store, name in ((alice, "alice"), (bob, "bob")):
            import_pairing(store, secret, name)
            opened.append(open_link(store, link, name))
        yield opened


async def release(bench, stores, numbers, cut_after=None):
    """One session; the leader's word on block cut_after does not arrive."""
    pipes = bench.MemoryPipe.pair()
    opened = await asyncio.gather(
        *(
            bench.open_session(name, pipe, bench.DurableStore(store, store.in_thread))
            for name, pipe, store in zip(("alice", "bob"), pipes, stores, strict=True)
        )
    )
    sessions = [session for session, _ in opened]
    runs = [asyncio.create_task(session.run()) for session in sessions]
    for number in numbers:
        if number == cut_after:
            pipes[1].on_write = lambda data: b""
        blocks = [AmplifiedBlock(number, bytearray(KEY), 256, 1e-10) for _ in sessions]
        releases = [
            asyncio.create_task(session.release(block, session.open_block(number, BlockLedger())))
            for session, block in zip(sessions, blocks, strict=True)
        ]
        if number == cut_after:
            await releases[1]
            pipes[1].close()
            with pytest.raises(LinkError):
                await releases[0]
        else:
            await asyncio.gather(*releases)
    for session in sessions:
        session.close()
    await asyncio.wait(runs)
    for run in runs:
        run.exception()
    return [resumption for _, resumption in opened]


async def test_pools_and_pads_stay_equal_through_a_lost_release(bench, stores):
    alice, bob = stores
    await release(bench, stores, (1, 2), cut_after=2)
    assert alice.prepared_blocks() == (2,) and bob.is_released(2)
    resumed = await release(bench, stores, (3,))
    assert resumed[0].rolled_forward == (2,)
    for direction in (0, 1):
        assert alice.pad_cursor(direction) == bob.pad_cursor(direction)
        assert alice.pad_end(direction) == bob.pad_end(direction)
    followers, leaders = KeyPool(alice, Half.FOLLOWER), KeyPool(bob, Half.LEADER)
    for own, other in ((followers, leaders), (leaders, followers)):
        keys = own.allocate(3, 1024, "one", "two")
        again = other.redeem([key.key_id for key in keys], "one", "two")
        assert [key.key for key in keys] == [key.key for key in again]
        assert own.status().own_bits == 0


async def test_blocks_are_released_while_kernels_take_every_thread(bench, stores):
    async with busy_threads(), asyncio.timeout(20):
        await release(bench, stores, (1, 2))
    assert all(store.is_released(2) for store in stores)

"""Two sessions over a memory pipe: what is said arrives, and the end reaches everyone."""

import asyncio
from types import SimpleNamespace

import pytest
from two_sessions import KEY, connected, until

from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.keys.errors import PadExhausted
from qkd_controller.link import authentication, serving
from qkd_controller.link import session as session_module
from qkd_controller.link.errors import (
    LinkError,
    ProtocolError,
)
from qkd_controller.link.session import SessionTiming
from qkd_controller.security.ledger import BlockLedger


async def test_blocks_are_released_at_both_ends_and_refill_the_pad(bench, stores):
    async with connected(bench, stores) as ends:
        for number in (1, 2, 5):
            await ends.leader.send(bench.Note(b"times"))
            await ends.follower.send(bench.Note(b"times"))
            assert await ends.release(number) == [None, None]
    assert stores[0].released == stores[1].released == dict.fromkeys((1, 2, 5), KEY)
    assert stores[0].pads == stores[1].pads
    assert stores[0].pads[0].endswith(3 * KEY[:16])
    assert stores[0].cursors == stores[1].cursors


async def test_the_greeting_tells_how_far_away_the_peer_is(bench, monkeypatch):
    now_s = 0.0

    def a_second_later(data):
        nonlocal now_s
        now_s += 1.0
        return data

    monkeypatch.setattr(serving, "time", SimpleNamespace(perf_counter=lambda: now_s))
    pipes = bench.MemoryPipe.pair()
    for pipe in pipes:
        pipe.on_read = a_second_later
    opened = await asyncio.gather(
        *(
            bench.open_session(name, pipe, bench.DurableStore(bench.MemoryStore(), bench.inline))
            for name, pipe in zip(("alice", "bob"), pipes, strict=True)
        )
    )
    # A hello and a proof for either end, so four chunks at most in all.
    assert all(1.0 <= session.agreement.round_trip_s <= 4.0 for session, _ in opened)


async def test_session_messages_arrive_in_order(bench, stores):
    async with connected(bench, stores) as ends:
        sent = [bench.Note(bytes([count])) for count in range(50)]
        for note in sent:
            await ends.leader.send(note)
        received = ends.follower.messages()
        assert [await anext(received) for _ in sent] == sent


async def test_messages_longer_than_what_is_hashed_at_once_verify(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        large = bench.Seed(1, bytes(authentication._UNHASHED_BYTES))
        for sender, receiver in (channels, channels[::-1]):
            await sender.send(large)
            assert await receiver.receive(bench.Seed) == large
        assert await ends.release(1, channels) == [None, None]


async def test_block_messages_may_come_before_the_block_is_opened(bench, stores):
    async with connected(bench, stores) as ends:
        channel = ends.leader.open_block(1, BlockLedger())
        await channel.send(bench.Seed(1, b"early"))
        await ends.leader.send(bench.Note(b"after"))
        await anext(ends.follower.messages())
        other = ends.follower.open_block(1, BlockLedger())
        assert (await other.receive(bench.Seed)).value == b"early"
        assert await ends.release(1, [other, channel]) == [None, None]


async def test_messages_about_a_closed_block_are_dropped(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        ends.follower.close_block(1)
        await channels[1].send(bench.Seed(1, b"too late"))
        ends.leader.close_block(1)
        assert await ends.release(2) == [None, None]


async def test_a_block_far_in_the_future_is_a_protocol_error(bench, stores):
    async with connected(bench, stores) as ends:
        channel = ends.leader.open_block(100, BlockLedger())
        await channel.send(bench.Seed(100, b""))
        assert isinstance(await ends.why(0), ProtocolError)


async def test_block_numbers_only_increase(bench, stores):
    async with connected(bench, stores) as ends:
        ends.open(3)
        for number in (3, 2):
            with pytest.raises(ProtocolError):
                ends.leader.open_block(number, BlockLedger())


async def test_checkpoints_are_taken_when_no_block_is_released(bench, stores, monkeypatch):
    monkeypatch.setattr(session_module, "_CHECKPOINT_EVERY", 3)
    async with connected(bench, stores, SessionTiming(5.0, 0.3, 5.0)) as ends:
        before = list(stores[0].cursors)
        for _ in range(5):
            await ends.leader.send(bench.Note(b"times"))
        await until(lambda: not ends.leader._dialogue._session.unverified_messages)
        assert stores[0].cursors[Direction.FOLLOWER_TO_LEADER] > before[1]


async def test_a_silent_peer_ends_the_session(bench, stores):
    async with connected(bench, stores, SessionTiming(5.0, 0.1, 5.0)) as ends:
        ends.runs[0].cancel()
        ends.pipes[0].close = lambda: None
        assert isinstance(await ends.why(1), LinkError)


async def test_pings_keep_an_idle_session_alive(bench, stores):
    async with connected(bench, stores, SessionTiming(5.0, 0.1, 5.0)) as ends:
        done, _ = await asyncio.wait(ends.runs, timeout=0.4)
        assert not done


async def test_the_end_of_a_session_reaches_everyone_who_waits(bench, stores):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        waiting = [
            asyncio.create_task(channels[0].receive(bench.Seed)),
            asyncio.create_task(anext(ends.follower.messages())),
            asyncio.create_task(
                ends.follower.release(
                    AmplifiedBlock(1, bytearray(KEY), 32, 1e-10),
                    ends.follower.open_block(2, BlockLedger()),
                )
            ),
        ]
        await asyncio.sleep(0)
        ends.leader.close()
        async with asyncio.timeout(5):
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, LinkError) for result in results)
        with pytest.raises(LinkError, match="ended"):
            await ends.follower.send(bench.Note(b""))


@pytest.fixture
def unwiped(monkeypatch):
    """The polynomial hashes that still know their key."""
    alive = set()

    class Watched(authentication.PolyHash):
        def __init__(self, key):
            super().__init__(key)
            alive.add(self)

        def wipe(self):
            super().wipe()
            alive.discard(self)

    monkeypatch.setattr(authentication, "PolyHash", Watched)
    return alive


async def test_a_session_that_fails_to_resume_keeps_no_hash_key(bench, stores, unwiped):
    stores[1].pads = [b"", b""]
    with pytest.raises((LinkError, PadExhausted)):
        async with connected(bench, stores, SessionTiming(5.0, 0.2, 5.0)):
            """Never comes up."""
    # The other end gives up by itself.
    await until(lambda: not unwiped)


@pytest.mark.parametrize("how", ["close", "cut", "cancel", "forged"])
async def test_a_session_keeps_no_hash_key_however_it_ends(bench, stores, unwiped, how):
    async with connected(bench, stores) as ends:
        channels = ends.open(1)
        ends.open(2)
        await channels[0].send(bench.Seed(1, b"seed"))
        await channels[1].receive(bench.Seed)
        assert len(unwiped) == 2 * 3 * 4
        if how == "close":
            ends.leader.close()
        elif how == "cut":
            ends.pipes[1].close()
        elif how == "cancel":
            ends.runs[1].cancel()
        else:
            ends.pipes[1].on_write = lambda data: data + data
            await ends.leader.send(bench.Note(b"twice"))
        await asyncio.wait(ends.runs)
        assert not unwiped

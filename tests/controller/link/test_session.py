"""Two sessions over a memory pipe."""

import asyncio
import contextlib
from dataclasses import dataclass

import pytest

from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.keys.errors import PadExhausted, StoreError
from qkd_controller.link import authentication
from qkd_controller.link import session as session_module
from qkd_controller.link.channel import Discard
from qkd_controller.link.codec import Envelope
from qkd_controller.link.control import Ping
from qkd_controller.link.errors import (
    AuthenticationError,
    BlockDiscarded,
    LinkError,
    ProtocolError,
)
from qkd_controller.link.framing import frame
from qkd_controller.link.message import BlockMessage
from qkd_controller.link.release import COMMIT_PAD_BYTES, RESERVED_PAD_BYTES
from qkd_controller.link.session import SessionTiming
from qkd_controller.security.ledger import BlockLedger

KEY = bytes(range(64))


@dataclass
class Ends:
    """Two running sessions; Alice follows, Bob leads."""

    stores: tuple
    pipes: tuple
    sessions: tuple
    runs: tuple

    @property
    def follower(self):
        return self.sessions[0]

    @property
    def leader(self):
        return self.sessions[1]

    def open(self, number):
        return [session.open_block(number, BlockLedger()) for session in self.sessions]

    async def release(self, number, channels=None, keys=(KEY, KEY), refill=32):
        """What release() raised at each end, or None."""
        channels = channels or self.open(number)
        blocks = [AmplifiedBlock(number, bytearray(key), refill, 1e-10) for key in keys]
        results = await asyncio.gather(
            *(s.release(b, c) for s, b, c in zip(self.sessions, blocks, channels, strict=True)),
            return_exceptions=True,
        )
        assert not any(any(block.key) for block in blocks), "key material was left behind"
        return results

    async def why(self, end):
        """Why the session of this end is over."""
        async with asyncio.timeout(5):
            await asyncio.wait([self.runs[end]])
        return self.runs[end].exception()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def stores(bench):
    return bench.MemoryStore(), bench.MemoryStore()


@contextlib.asynccontextmanager
async def connected(bench, stores, timing=None):
    pipes = bench.MemoryPipe.pair()
    opened = await asyncio.gather(
        *(
            bench.open_session(
                name, pipe, bench.DurableStore(store, bench.inline), timing=timing or bench.TIMING
            )
            for name, pipe, store in zip(("alice", "bob"), pipes, stores, strict=True)
        )
    )
    sessions = tuple(session for session, _ in opened)
    runs = tuple(asyncio.create_task(session.run()) for session in sessions)
    try:
        yield Ends(stores, pipes, sessions, runs)
    finally:
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
        for run in runs:
            run.cancelled() or run.exception()


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


async def test_a_replayed_or_dropped_message_is_named(bench, stores):
    for tamper in (lambda data: data + data, lambda data: b""):
        async with connected(bench, (bench.MemoryStore(), bench.MemoryStore())) as ends:
            ends.pipes[1].on_write = tamper
            await ends.leader.send(bench.Note(b"once"))
            ends.pipes[1].on_write = bytes
            await ends.leader.send(bench.Note(b"next"))
            assert "lost, repeated or reordered" in str(await ends.why(0))


async def test_a_reflected_message_is_refused(bench, stores):
    """Sent back with the number that is due, a message still does not fit the tags."""
    async with connected(bench, stores) as ends:
        await ends.follower.send(bench.Note(b"mine"))
        echo = bench.CODEC.encode(Envelope(ends.leader._dialogue._sent + 1, 0, bench.Note(b"mine")))
        ends.leader._dialogue._sent += 1
        ends.leader._dialogue._wire.write(echo)
        results = await ends.release(1)
        assert any(isinstance(result, AuthenticationError) for result in results)
        assert not stores[0].released and not stores[1].released


async def test_tags_of_an_earlier_session_are_refused(bench, stores):
    kept = []

    def keep(data):
        kept.append(data)
        return data

    async with connected(bench, stores) as ends:
        ends.pipes[1].on_write = keep
        await ends.leader._dialogue.checkpoint()
    async with connected(bench, stores) as ends:
        envelope = bench.CODEC.decode(kept[0][4:])
        ends.leader._dialogue._sent += 1
        again = Envelope(ends.leader._dialogue._sent, 0, envelope.message)
        ends.pipes[1].write(*frame(bench.CODEC.encode(again)))
        error = await ends.why(0)
        assert isinstance(error, AuthenticationError)
        assert "replay" in str(error)


async def conversation(bench, stores, alter):
    """Two blocks with messages both ways; alter(end, index, message) may change an envelope."""

    counts = [0, 0]

    def on_write(end):
        def altered(data):
            envelope = bench.CODEC.decode(data[4:])
            counts[end] += 1
            changed = alter(end, counts[end], data[4:])
            if changed is None or isinstance(envelope.message, Ping):
                return data
            return b"".join(frame(changed))

        return altered

    async with connected(bench, stores, SessionTiming(1.0, 1.0, 1.0)) as ends:
        for end in (0, 1):
            ends.pipes[end].on_write = on_write(end)
        try:
            for number in (1, 2):
                channels = ends.open(number)
                views = [[b"alice", b"alice"], [b"bob", b"bob"]]
                for sender, receiver in ((0, 1), (1, 0)):
                    views[sender][sender] = views[sender][sender] * 2
                    await channels[sender].send(bench.Seed(number, views[sender][sender]))
                    seed = await channels[receiver].receive(bench.Seed)
                    views[receiver][sender] = seed.value
                for session in ends.sessions:
                    await session.send(bench.Note(b"note"))
                # An end that was told something else makes another key.
                keys = [bench.secret(f"{number}{view}", 64) for view in views]
                if any(await ends.release(number, channels, keys)):
                    break
        except LinkError:
            pass
        for session in ends.sessions:
            session.close()
        errors = [await ends.why(end) for end in (0, 1)]
    return counts, errors


@pytest.mark.parametrize("end", [0, 1])
async def test_no_altered_byte_of_any_message_gets_through(bench, end):
    lengths = {}

    def measure(sender, index, payload):
        if sender == end:
            lengths[index] = len(payload)

    await conversation(bench, (bench.MemoryStore(), bench.MemoryStore()), measure)
    assert len(lengths) >= 6
    authentic = 0
    for index, length in lengths.items():
        for place in range(length):

            def flip(sender, count, payload, index=index, place=place):
                if (sender, count) != (end, index):
                    return None
                altered = bytearray(payload)
                altered[place] ^= 1
                return bytes(altered)

            stores = bench.MemoryStore(), bench.MemoryStore()
            _, errors = await conversation(bench, stores, flip)
            first, second = stores[0].released, stores[1].released
            assert first.items() <= second.items(), "the follower released what the leader did not"
            authentic += any(isinstance(error, AuthenticationError) for error in errors)
            assert any(
                isinstance(error, AuthenticationError | ProtocolError) for error in errors
            ), (index, place, errors)
            # The leader's record decides: both agree as soon as they have resumed.
            async with connected(bench, stores):
                assert first == second
    assert authentic > 50

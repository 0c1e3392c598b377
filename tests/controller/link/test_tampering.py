"""Nothing that is altered, repeated, dropped or reflected on the way gets through."""

import pytest
from two_sessions import connected

from qkd_controller.link.codec import Envelope
from qkd_controller.link.control import Ping
from qkd_controller.link.errors import (
    AuthenticationError,
    LinkError,
    ProtocolError,
)
from qkd_controller.link.framing import frame
from qkd_controller.link.session import SessionTiming


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

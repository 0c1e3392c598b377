"""Whoever alters cursors on the way costs an end no more pad than the tags that it sends."""

import msgspec
import pytest

from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.link.control import Checkpoint, Resume, Statement
from qkd_controller.link.errors import AuthenticationError, LinkError
from qkd_controller.link.framing import frame
from qkd_controller.link.session import SessionTiming

DOWN, UP = Direction
FOLLOWER, LEADER = 0, 1
SENDING = {FOLLOWER: UP, LEADER: DOWN}
SESSIONS = 5
FAR = 2**62


@pytest.fixture
def stores(bench):
    return bench.MemoryStore(), bench.MemoryStore()


async def resume(bench, stores, forge, forged_ends=(FOLLOWER, LEADER)):
    """What both ends say to resuming while forge() replaces messages of the forged ends."""

    def on_write(data):
        try:
            envelope = bench.CODEC.decode(data[4:])
        except LinkError:
            return data
        return b"".join(
            frame(bench.CODEC.encode(envelope._replace(message=forge(envelope.message))))
        )

    pipes = bench.MemoryPipe.pair()
    for end in forged_ends:
        pipes[end].on_write = on_write
    return await bench.both(
        *(
            bench.open_session(
                name,
                pipe,
                bench.DurableStore(store, bench.inline),
                timing=SessionTiming(5.0, 0.1, 5.0),
            )
            for name, pipe, store in zip(("alice", "bob"), pipes, stores, strict=True)
        )
    )


def ahead(message, directions, skip):
    """A Resume that claims so much more spent pad."""
    if not isinstance(message, Resume):
        return message
    cursors = tuple(
        min(cursor + skip, 2**63 - 1) if direction in directions else cursor
        for direction, cursor in zip(Direction, message.pad_cursors, strict=True)
    )
    return msgspec.structs.replace(message, pad_cursors=cursors)


@pytest.mark.parametrize("skip", [32, 4096, 65536, FAR])
@pytest.mark.parametrize("directions", [{DOWN}, {UP}, {DOWN, UP}])
@pytest.mark.parametrize("forged_ends", [(FOLLOWER,), (LEADER,), (FOLLOWER, LEADER)])
async def test_a_forged_resume_burns_no_pad(bench, stores, skip, directions, forged_ends):
    for _ in range(SESSIONS):
        results = await resume(bench, stores, lambda m: ahead(m, directions, skip), forged_ends)
        assert all(isinstance(result, LinkError) for result in results)
    for end, store in enumerate(stores):
        assert store.cursors[SENDING[end]] <= SESSIONS * Statement.BYTES_OF_PAD
        assert store.cursors[SENDING[1 - end]] == 0
    results = await resume(bench, stores, lambda message: message)
    assert not any(isinstance(result, BaseException) for result in results)
    assert stores[0].cursors == stores[1].cursors
    stores[LEADER].release(AmplifiedBlock(1, bytearray(100), 32, 1e-10))


@pytest.mark.parametrize("skip", [32, 4096, FAR])
async def test_a_forged_place_of_a_tag_burns_no_pad(bench, stores, skip):
    def forge(message):
        if isinstance(message, Checkpoint):
            return msgspec.structs.replace(message, pad_cursor=message.pad_cursor + skip)
        return message

    for _ in range(SESSIONS):
        results = await resume(bench, stores, forge, (FOLLOWER,))
        assert isinstance(results[LEADER], AuthenticationError)
    assert stores[LEADER].cursors[UP] == 0
    assert not any(isinstance(r, BaseException) for r in await resume(bench, stores, lambda m: m))


async def test_tags_lost_in_any_number_of_sessions_do_not_part_the_ends(bench, stores):
    """The gap between what was sent and what arrived may grow as it likes."""
    for store in stores:
        store.pads = [pad * 2 for pad in store.pads]

    lost = 300
    stores[LEADER].move_pad_cursor(DOWN, lost * Statement.BYTES_OF_PAD)
    stores[FOLLOWER].move_pad_cursor(UP, lost * Statement.BYTES_OF_PAD)
    results = await resume(bench, stores, lambda message: message)
    assert not any(isinstance(result, BaseException) for result in results)
    assert stores[0].cursors == stores[1].cursors == [(lost + 1) * Statement.BYTES_OF_PAD] * 2

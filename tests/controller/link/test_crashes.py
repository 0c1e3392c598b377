"""Either end, or both, die at every message and every durable write; the ends always agree."""

import asyncio
import itertools
import os
from dataclasses import dataclass, field

import pytest

from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.link.channel import Discard
from qkd_controller.link.control import Checkpoint, Prepared, Released, Statement
from qkd_controller.link.errors import (
    AuthenticationError,
    BlockDiscarded,
    LinkError,
    ProtocolError,
)
from qkd_controller.security.ledger import BlockLedger

LEADER, FOLLOWER = "bob", "alice"
BLOCKS = 4
IN_FLIGHT = (1, 3)
WRITES = (
    "take_pad",
    "move_pad_cursor",
    "prepare",
    "release",
    "roll_forward",
    "discard_prepared",
)


class Killed(Exception):
    """The process is gone."""


@dataclass
class World:
    """What outlives the processes, and who dies when."""

    bench: object
    stores: dict[str, object]
    kill_at: int = -1
    victims: str = "self"
    points: int = 0
    dead: set[str] = field(default_factory=set)
    pipes: list[object] = field(default_factory=list)
    tags: dict[Direction, dict[int, bytes]] = field(
        default_factory=lambda: {direction: {} for direction in Direction}
    )

    def point(self, name: str) -> None:
        """A place where the process may die."""
        if name not in self.dead:
            self.points += 1
            if self.points == self.kill_at:
                self.dead |= {name} if self.victims == "self" else {LEADER, FOLLOWER}
                for pipe in self.pipes:
                    pipe.close()
        if name in self.dead:
            raise Killed(name)

    def mortal_store(self, name: str) -> object:
        world, store = self, self.stores[name]

        class MortalStore:
            def __getattr__(self, method: str):
                if method not in WRITES:
                    return getattr(store, method)

                def write(*arguments):
                    world.point(name)
                    before = list(store.cursors)
                    result = getattr(store, method)(*arguments)
                    assert all(a <= b for a, b in zip(before, store.cursors, strict=True))
                    world.point(name)
                    return result

                return write

        return MortalStore()

    def sent(self, name: str, data: bytes) -> bytes:
        """One frame leaves; its tags must stand on pad that no tag ever used."""
        self.point(name)
        try:
            message = self.bench.CODEC.decode(data[4:]).message
        except LinkError:
            return data
        if isinstance(message, Checkpoint | Prepared | Released):
            direction = Direction(name != LEADER)
            statements = 1 if isinstance(message, Checkpoint) else 2
            for offset in range(statements * Statement.BYTES_OF_PAD):
                place = message.pad_cursor + offset
                assert place not in self.tags[direction], "a pad was used twice"
                self.tags[direction][place] = data
        return data

    def received(self, name: str, data: bytes) -> bytes:
        self.point(name)
        return data


def amplified(number: int, ours: bytes, theirs: bytes, secret) -> AmplifiedBlock:
    key = secret(f"{number} {sorted((ours, theirs))}", 96)
    return AmplifiedBlock(number, bytearray(key), 64, 1e-10)


async def lead(session, bench, blocks: int, in_flight: int) -> None:
    """Makes so many blocks, the second of which fails, so many of them at a time."""
    replies = session.messages()
    room = asyncio.Semaphore(in_flight)

    async def make(channel, will_fail: bool) -> None:
        number = channel.block
        ours = os.urandom(8)
        await channel.send(bench.Seed(number, ours))
        theirs = (await channel.receive(bench.Seed)).value
        if will_fail:
            await channel.send(Discard(number, "it was to fail"))
            session.close_block(number)
        else:
            await session.release(amplified(number, ours, theirs, bench.secret), channel)
        room.release()

    async with asyncio.TaskGroup() as group:
        for count in range(blocks):
            await room.acquire()
            number = session.next_block
            channel = session.open_block(number, BlockLedger())
            await session.send(bench.Note(b"times"))
            await session.send(bench.BlockBegun(number, count == 1))
            group.create_task(make(channel, count == 1))
    await session.send(bench.Note(b"bye"))
    while (await anext(replies)).text != b"done":
        pass


async def follow(session, bench) -> None:
    async def make(channel, will_fail: bool) -> None:
        number = channel.block
        ours = os.urandom(8)
        theirs = (await channel.receive(bench.Seed)).value
        await channel.send(bench.Seed(number, ours))
        await session.send(bench.Note(b"pairs"))
        try:
            if will_fail:
                await channel.receive(bench.Seed)
            await session.release(amplified(number, ours, theirs, bench.secret), channel)
        except BlockDiscarded:
            session.close_block(number)

    async with asyncio.TaskGroup() as group:
        making = []
        async for message in session.messages():
            if isinstance(message, bench.BlockBegun):
                channel = session.open_block(message.number, BlockLedger())
                making.append(group.create_task(make(channel, message.will_fail)))
            elif message.text == b"bye":
                await asyncio.gather(*making)
                await session.send(bench.Note(b"done"))


async def live(world: World, name: str, pipe, blocks: int, in_flight: int) -> None:
    """One process from its start to its end."""
    bench = world.bench
    store = bench.DurableStore(world.mortal_store(name), bench.inline)
    session, _ = await bench.open_session(name, pipe, store)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.run())
        if name == LEADER:
            await lead(session, bench, blocks, in_flight)
        else:
            await follow(session, bench)
        session.close()


def expected(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(expected(inner) for inner in error.exceptions)
    altered = isinstance(error, AuthenticationError | ProtocolError)
    return isinstance(error, LinkError | Killed) and not altered


async def generation(
    world: World, blocks: int, in_flight: int, kill_at: int = -1, victims: str = "self"
) -> None:
    """Both processes run until they are done or dead."""
    world.dead, world.points = set(), 0
    world.kill_at, world.victims = kill_at, victims
    world.pipes = list(world.bench.MemoryPipe.pair())

    async def run(name: str, pipe) -> None:
        pipe.on_write = lambda data: world.sent(name, data)
        pipe.on_read = lambda data: world.received(name, data)
        try:
            await live(world, name, pipe, blocks, in_flight)
        except BaseException as error:
            if not expected(error):
                raise
        finally:
            pipe.close()

    await asyncio.gather(*(run(n, p) for n, p in zip((LEADER, FOLLOWER), world.pipes, strict=True)))


def new_world(bench) -> World:
    return World(bench, {name: bench.MemoryStore() for name in (LEADER, FOLLOWER)})


def check_nothing_lost(world: World, before: list[dict[int, bytes]]) -> None:
    leader, follower = world.stores[LEADER], world.stores[FOLLOWER]
    for earlier, now in zip(before, (leader.released, follower.released), strict=True):
        assert earlier.items() <= now.items()
    assert follower.released.items() <= leader.released.items()


async def survive(bench, kills: list[int], victims: str, in_flight: int) -> bool:
    """Lives with one death each, then once more to the end; whether every death came to pass."""
    world = new_world(bench)
    leader, follower = world.stores[LEADER], world.stores[FOLLOWER]
    all_died = True
    for kill_at in kills:
        before = [dict(leader.released), dict(follower.released)]
        await generation(world, BLOCKS, in_flight, kill_at, victims)
        check_nothing_lost(world, before)
        all_died &= bool(world.dead)
    before = [dict(leader.released), dict(follower.released)]
    await generation(world, BLOCKS, in_flight)
    check_nothing_lost(world, before)
    assert list(leader.released.items()) == list(follower.released.items())
    assert len(leader.released) == len(before[0]) + BLOCKS - 1
    assert leader.pads == follower.pads
    assert not follower.prepared
    return all_died


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
@pytest.mark.parametrize("victims", ["self", "both"])
async def test_the_ends_agree_wherever_one_life_ends(bench, victims, in_flight):
    for kill_at in itertools.count(1):
        if not await survive(bench, [kill_at], victims, in_flight):
            break
    assert kill_at > 110


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
@pytest.mark.parametrize("victims", ["self", "both"])
async def test_the_ends_agree_when_the_recovery_dies_too(bench, victims, in_flight):
    for first in itertools.count(1):
        seconds = range(1 + first % 17, 86, 17)
        died = [await survive(bench, [first, second], victims, in_flight) for second in seconds]
        if not any(died):
            break
    assert first > 110

"""Blocks of one session at both ends: several in flight, released in order, none held up."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from levels import assert_levels_off
from link_ends import MemoryPipe, MemoryStore, inline, link_file, open_session

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.block import BlockPart, MatchedBlock
from qkd_controller.distillation.workspace import Workspace, shared_bytes, state_bytes
from qkd_controller.keys.contract import Direction
from qkd_controller.link.block_messages import BLOCK_MESSAGES, ErrorCounts
from qkd_controller.link.control import Released
from qkd_controller.link.durable import DurableStore, Threads
from qkd_controller.link.errors import LinkError, ProtocolError
from qkd_controller.link.message import BlockMessage
from qkd_controller.link.session import session_codec
from qkd_controller.node.distilling import Distiller, window_blocks
from qkd_controller.node.pace import Pace
from qkd_controller.node.releases import Releases
from qkd_controller.security.leakage import LeakageMonitor

PAIRS = 24_000
PLAN = BlockPlan(
    pairs=PAIRS,
    key_basis="z",
    key_bits=5_500,
    test_bits=5_500,
    qber_tolerance_ratio=0.045,
    leakage_budget_bits=1_900,
    epsilon_secrecy=1e-4,
    epsilon_correctness=1e-10,
    pad_refill_bits=1_280,
    in_flight_mib=1,
)
CODEC = session_codec(BLOCK_MESSAGES)
WINDOW = 34


@dataclass
class End:
    """One end with its distiller, and what it told."""

    session: object
    site: "Site"
    discarded: list[int] = field(default_factory=list)
    stages: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.released = self.site.released
        leads = self.session.agreement.terms.leads
        self.distiller = Distiller(
            self.session,
            BlockPart(leads, leads),
            PLAN,
            lambda: 0.02,
            lambda: 0,
            LeakageMonitor(),
            self.site.workspace,
            Pace(PLAN, window_blocks(PLAN)),
            self.site.releases,
            lambda bits: None,
            lambda *stage: self.stages.append(stage),
            lambda block, cause: self.discarded.append(block),
        )


class Ends:
    """Both ends of a session; the order of the messages is kept."""

    def __init__(self, ends: list[End], pipes: tuple[MemoryPipe, MemoryPipe]) -> None:
        self.ends = ends
        self.pipes = pipes
        self.blocks_spoken_of: list[int] = []
        for pipe in pipes:
            pipe.on_write = self._watch

    def put(self, block: int, qber: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
        codes = make_codes(block, qber)
        for end, own in zip(self.ends, codes, strict=True):
            end.distiller.put(MatchedBlock(block, own))
        return codes

    async def until(self, done: int) -> None:
        async with asyncio.timeout(20):
            for end in self.ends:
                while len(end.released) + len(end.discarded) < done:
                    await asyncio.sleep(0.001)

    def _watch(self, data: bytes) -> bytes:
        message = CODEC.decode(data[4:]).message
        if isinstance(message, BlockMessage):
            self.blocks_spoken_of.append(message.block)
        return data


def make_codes(seed: int, qber: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 2, (2, PAIRS), np.uint8)
    bits = rng.integers(0, 2, PAIRS, np.uint8)
    noise = (rng.random(PAIRS) < qber).astype(np.uint8)
    return bits | bases[0] << 1, (bits ^ noise) | bases[1] << 1


class Site:
    """What one end keeps over all sessions; blocks that it has reported, in order."""

    def __init__(self, store: MemoryStore, threads: Threads = inline) -> None:
        self.durable = DurableStore(store, threads)
        self.released: list[int] = []
        self.workspace = Workspace(PLAN.in_flight_mib << 20)
        self.releases = Releases(self.durable, lambda block, report: self.released.append(block))


@contextlib.asynccontextmanager
async def distilling(stores: tuple[MemoryStore | Site, MemoryStore | Site]):
    """Both distillers at work; raises nothing that ends them."""
    pipes = MemoryPipe.pair()
    sites = [each if isinstance(each, Site) else Site(each) for each in stores]
    opened = await asyncio.gather(
        *(
            open_session(name, pipe, site.durable, link_file(block=PLAN), codec=CODEC)
            for name, pipe, site in zip(("alice", "bob"), pipes, sites, strict=True)
        )
    )
    ends = Ends(
        [End(session, site) for (session, _), site in zip(opened, sites, strict=True)],
        pipes,
    )
    works = [asyncio.create_task(end.session.run()) for end in ends.ends]
    works += [asyncio.create_task(end.distiller.run()) for end in ends.ends]
    try:
        yield ends, works
    finally:
        for work in works:
            work.cancel()
        await asyncio.wait(works)
        for work in works:
            work.cancelled() or work.exception()


@pytest.fixture
def stores() -> tuple[MemoryStore, MemoryStore]:
    return MemoryStore(), MemoryStore()


async def test_the_ends_take_turns_at_correcting(stores) -> None:
    correctors: dict[int, str] = {}

    def watch(name: str, data: bytes) -> bytes:
        message = CODEC.decode(data[4:]).message
        if isinstance(message, ErrorCounts):
            correctors[message.block] = name
        return data

    async with distilling(stores) as (ends, _):
        for name, pipe in zip(("alice", "bob"), ends.pipes, strict=True):
            pipe.on_write = partial(watch, name)
        for block in range(1, 5):
            ends.put(block)
        await ends.until(4)
    assert correctors == {1: "bob", 2: "alice", 3: "bob", 4: "alice"}


async def test_several_blocks_are_in_flight_and_released_in_order(stores) -> None:
    async with distilling(stores) as (ends, _):
        for block in range(1, 5):
            ends.put(block)
        await ends.until(4)
    first_done = max(i for i, block in enumerate(ends.blocks_spoken_of) if block == 1)
    assert {2, 3, 4} <= set(ends.blocks_spoken_of[:first_done])
    for end in ends.ends:
        assert end.released == [1, 2, 3, 4]
        assert end.stages[-1] == (5, "collecting")
        assert [block for block, _ in end.stages] == sorted(block for block, _ in end.stages)
    assert stores[0].released == stores[1].released
    assert list(stores[0].released) == [1, 2, 3, 4]
    assert stores[0].pads == stores[1].pads


async def test_a_block_that_fails_holds_up_nobody(stores) -> None:
    async with distilling(stores) as (ends, _):
        for block in range(1, 6):
            ends.put(block, qber=0.3 if block in (1, 3) else 0.02)
        await ends.until(5)
    for end in ends.ends:
        assert end.released == [2, 4, 5]
        assert sorted(end.discarded) == [1, 3]
    assert stores[0].released == stores[1].released


async def test_a_lost_session_takes_all_blocks_in_flight_with_it(stores) -> None:
    sites = [Site(store) for store in stores]
    async with distilling(sites) as (ends, works):
        codes = [ends.put(block) for block in range(1, 5)]
        async with asyncio.timeout(20):
            while not stores[1].released:
                await asyncio.sleep(0)
        ends.pipes[0].close()
        await asyncio.wait(works)
        for work in works[2:]:
            failures = work.exception().exceptions
            assert all(isinstance(failure, LinkError) for failure in failures)
    assert all(not own.any() for pair in codes for own in pair)
    for site in sites:
        assert site.workspace.used_bytes == 0 < site.workspace.spare_bytes, "for the next session"
    async with distilling(sites) as (ends, _):
        block = ends.ends[0].session.next_block
        assert block == ends.ends[1].session.next_block
        ends.put(block)
        await ends.until(1)
    assert stores[0].released == stores[1].released
    assert list(stores[0].released) == sorted(stores[0].released)
    assert not stores[0].prepared


async def test_the_greeting_tells_the_pace_of_the_link(stores, monkeypatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(Pace, "answered", lambda _, answer_s: told.append(answer_s))
    async with distilling(stores) as (ends, _):
        assert told == [end.session.agreement.round_trip_s for end in ends.ends]


@pytest.mark.parametrize("end", [0, 1], ids=["follower", "leader"])
async def test_a_block_released_under_a_cancelled_task_is_reported(stores, end: int) -> None:
    committed, go = asyncio.Event(), asyncio.Event()

    async def slow(call):
        result = call()
        if stores[end].released and not go.is_set():
            committed.set()
            await go.wait()
        return result

    sites = [Site(store, slow if store is stores[end] else inline) for store in stores]
    async with distilling(sites) as (ends, works):
        ends.put(1)
        async with asyncio.timeout(20):
            await committed.wait()
        distiller = works[2 + end]
        distiller.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait([distiller])
        assert distiller.cancelled()
    assert list(stores[end].released) == sites[end].released == [1]


async def test_a_block_that_the_next_session_rolls_forward_is_reported_there(stores) -> None:
    sites = [Site(store) for store in stores]
    async with distilling(sites) as (ends, works):

        def cut(data: bytes) -> bytes:
            if isinstance(CODEC.decode(data[4:]).message, Released):
                ends.pipes[1].close()
                return b""
            return data

        ends.pipes[1].on_write = cut
        ends.put(1)
        await asyncio.wait(works)
    assert not stores[0].released and list(stores[1].released) == [1]
    assert [site.released for site in sites] == [[], [1]]
    async with distilling(sites) as (ends, _):
        await ends.until(1)
    assert [site.released for site in sites] == [[1], [1]]


async def test_room_is_what_the_plan_allows(stores) -> None:
    assert window_blocks(PLAN) == WINDOW == (2**20 - shared_bytes(PLAN)) // state_bytes(PLAN)
    async with distilling(stores) as (ends, _):
        one = ends.ends[0]
        for block in range(1, WINDOW + 1):
            await one.distiller.room()
            one.distiller.put(MatchedBlock(block, make_codes(block, 0.02)[0]))
        room = asyncio.create_task(one.distiller.room())
        await asyncio.sleep(0)
        assert not room.done()
        ends.ends[1].distiller.put(MatchedBlock(1, make_codes(1, 0.02)[1]))
        await room
        assert one.released == [1]


async def test_a_peer_that_cuts_too_many_blocks_is_refused(stores) -> None:
    async with distilling(stores) as (ends, _):
        for block in range(1, 2 * WINDOW + 1):
            ends.ends[0].distiller.put(MatchedBlock(block, np.zeros(PAIRS, np.uint8)))
        with pytest.raises(ProtocolError, match="faster than they are distilled"):
            ends.ends[0].distiller.put(MatchedBlock(block + 1, np.zeros(PAIRS, np.uint8)))


class EndlessStore(MemoryStore):
    """Keeps its pads and the latest block only."""

    def __init__(self) -> None:
        super().__init__(pads=[bytes(1 << 22)] * 2)

    def take_pad(self, direction: Direction, length_bytes: int) -> tuple[int, bytearray]:
        self.taken.clear()
        return super().take_pad(direction, length_bytes)

    def _extend(self, block: int, key: bytes, refill_bytes: int) -> None:
        self.released = {block: b""}


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_blocks_leave_nothing_behind() -> None:
    codes = make_codes(1, 0.02)
    async with distilling((EndlessStore(), EndlessStore())) as (ends, _):

        async def distil() -> None:
            block = ends.ends[0].session.next_block
            for end, own in zip(ends.ends, codes, strict=True):
                end.distiller.put(MatchedBlock(block, own.copy()))
            await ends.until(1)
            for end in ends.ends:
                assert end.released.pop() == block
                end.stages.clear()
            ends.blocks_spoken_of.clear()

        await assert_levels_off(distil, steps=100)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_blocks_of_lost_sessions_leave_nothing_behind() -> None:
    codes = make_codes(1, 0.02)
    sites = [Site(EndlessStore()) for _ in range(2)]

    async def lose() -> None:
        async with distilling(sites) as (ends, works):
            first = ends.ends[0].session.next_block
            for block in range(first, first + 4):
                for end, own in zip(ends.ends, codes, strict=True):
                    end.distiller.put(MatchedBlock(block, own.copy()))
            async with asyncio.timeout(20):
                while not ends.ends[0].released:
                    await asyncio.sleep(0.001)
            ends.pipes[0].close()
            await asyncio.wait(works)
        for site in sites:
            site.released.clear()

    await assert_levels_off(lose, steps=60)

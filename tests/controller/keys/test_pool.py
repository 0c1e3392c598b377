"""Two ends of one pool: no bit is delivered twice, and both ends deliver the same."""

import hashlib
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qkd_controller.config.link import BlockPlan, LinkFile, Roles
from qkd_controller.keys.contract import AmplifiedBlock, Direction, Half
from qkd_controller.keys.errors import InsufficientKey, KeyNotFound, KeyOfOthers, StoreError
from qkd_controller.keys.link_store import SqliteLinkStore, open_link
from qkd_controller.keys.pairing import import_pairing, make_pairing
from qkd_controller.keys.pool import DeliveredKey, KeyPool, PoolStatus
from qkd_controller.keys.store import KeyStore

MakeBlock = Callable[..., AmplifiedBlock]
LINK = LinkFile(
    name="fibre-1",
    protocol="bbm92",
    nodes=("alice", "bob"),
    roles=Roles("alice", "alice", "alice", "bob"),
    block=BlockPlan(1000, "z", 500, 200, 0.05, 300),
)
PAIRS = (("app-a", "app-b"), ("app-c", "app-b"), ("app-b", "app-a"))


@pytest.fixture
def pools(alice: SqliteLinkStore, bob: SqliteLinkStore) -> tuple[KeyPool, KeyPool]:
    return KeyPool(alice, Half.LEADER), KeyPool(bob, Half.FOLLOWER)


def block(number: int, length: int) -> AmplifiedBlock:
    """Bytes in which no four repeat, but by a rare chance."""
    return AmplifiedBlock(number, bytearray(hashlib.shake_256(b"%d" % number).digest(length)), 0, 0)


class TwoEnds(RuleBasedStateMachine):
    """Both ends against a model that holds the halves as plain byte strings."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        secret = make_pairing(LINK, 10)
        self.stores, self.ends, self.pools = [], [], []
        for name in LINK.nodes:
            keys = KeyStore(Path(self.directory.name) / name)
            import_pairing(keys, secret, name)
            end = open_link(keys, LINK, name)
            self.stores.append(keys)
            self.ends.append(end)
            self.pools.append(KeyPool(end, end.own_half))
        self.blocks = 0
        self.rolled = 0
        self.halves = [b"", b""]
        self.cursor = [0, 0]
        self.open: list[dict[uuid.UUID, tuple[tuple[str, str], int, bytes]]] = [{}, {}]
        self.closed: list[dict[uuid.UUID, tuple[str, str]]] = [{}, {}]

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.directory.cleanup()

    @rule(length=st.integers(0, 700))
    def release(self, length: int) -> None:
        self.blocks += 1
        made = block(self.blocks, 2 * length)
        self.ends[1].prepare(made)
        self.ends[0].release(made)
        self.halves[0] += bytes(made.key[:length])
        self.halves[1] += bytes(made.key[length:])

    @precondition(lambda self: self.rolled < self.blocks)
    @rule()
    def roll_forward(self) -> None:
        self.rolled += 1
        self.ends[1].roll_forward(self.rolled)

    @rule(
        end=st.sampled_from([0, 1]),
        number=st.integers(1, 5),
        size=st.integers(4, 100),
        pair=st.sampled_from(PAIRS),
    )
    def allocate(self, end: int, number: int, size: int, pair: tuple[str, str]) -> None:
        before = self.pools[end].status()
        try:
            keys = self.pools[end].allocate(number, 8 * size, *pair)
        except InsufficientKey:
            assert before.own_bits < 8 * number * size
            assert self.pools[end].status() == before
            return
        for key in keys:
            start = self.cursor[end]
            expected = self.halves[end][start : start + size]
            assert key.key == expected
            assert key.key_id not in self.open[end] and key.key_id not in self.closed[end]
            self.open[end][key.key_id] = (pair, start, expected)
            self.cursor[end] += size

    @precondition(lambda self: any(self.open))
    @rule(data=st.data())
    def redeem(self, data: st.DataObject) -> None:
        end = data.draw(st.sampled_from([e for e in (0, 1) if self.open[e]]))
        key_id = data.draw(st.sampled_from(list(self.open[end])))
        pair = self.open[end][key_id][0]
        same = [i for i, (p, _, _) in self.open[end].items() if p == pair]
        ids = data.draw(st.lists(st.sampled_from(same), min_size=1, max_size=4, unique=True))
        try:
            keys = self.pools[1 - end].redeem(ids, *pair)
        except KeyNotFound:
            # Only the follower may be behind, and only until it has rolled forward.
            assert end == 0 and self.rolled < self.blocks
            return
        for wanted, key in zip(ids, keys, strict=True):
            assert key.key_id == wanted
            assert key.key == self.open[end].pop(wanted)[2]
            self.closed[end][wanted] = pair

    @precondition(lambda self: any(self.closed))
    @rule(data=st.data())
    def redeem_again(self, data: st.DataObject) -> None:
        end = data.draw(st.sampled_from([e for e in (0, 1) if self.closed[e]]))
        used = data.draw(st.sampled_from(list(self.closed[end])))
        pair = self.closed[end][used]
        fresh = [i for i, (p, _, _) in self.open[end].items() if p == pair]
        before = self.pools[1 - end].status()
        with pytest.raises(KeyNotFound):
            self.pools[1 - end].redeem([*fresh[:2], used], *pair)
        assert self.pools[1 - end].status() == before

    @precondition(lambda self: any(self.open))
    @rule(data=st.data(), bit=st.integers(0, 127))
    def misuse(self, data: st.DataObject, bit: int) -> None:
        end = data.draw(st.sampled_from([e for e in (0, 1) if self.open[e]]))
        key_id, (pair, _, _) = data.draw(st.sampled_from(list(self.open[end].items())))
        before = [pool.status() for pool in self.pools]
        with pytest.raises(KeyOfOthers):
            self.pools[1 - end].redeem([key_id], pair[0], "mallory")
        with pytest.raises(KeyNotFound):
            self.pools[end].redeem([key_id], *pair)
        with pytest.raises((KeyNotFound, KeyOfOthers)):
            self.pools[1 - end].redeem([uuid.UUID(int=key_id.int ^ 1 << bit)], *pair)
        assert [pool.status() for pool in self.pools] == before

    @rule(end=st.sampled_from([0, 1]))
    def restart(self, end: int) -> None:
        self.stores[end].close()
        self.stores[end] = KeyStore(Path(self.directory.name) / LINK.nodes[end])
        self.ends[end] = open_link(self.stores[end], LINK, LINK.nodes[end])
        self.pools[end] = KeyPool(self.ends[end], self.ends[end].own_half)

    @invariant()
    def the_leader_holds_what_the_model_holds(self) -> None:
        taken = sum(len(block_bytes) for _, _, block_bytes in self.open[1].values())
        redeemed = self.cursor[1] - taken
        assert self.pools[0].status() == PoolStatus(
            8 * (len(self.halves[0]) - self.cursor[0]), 8 * (len(self.halves[1]) - redeemed)
        )


TwoEnds.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestTwoEnds = TwoEnds.TestCase


def test_many_threads_at_both_ends_get_no_bit_twice(
    alice: SqliteLinkStore, bob: SqliteLinkStore, pools: tuple[KeyPool, KeyPool]
) -> None:
    for end in (alice, bob):
        end.release(block(1, 2 * 16 * 120))
    jobs = [(end, n) for n in range(30) for end in (0, 1)]

    def work(job: tuple[int, int]) -> list[tuple[DeliveredKey, DeliveredKey]]:
        end = job[0]
        keys = pools[end].allocate(4, 128, "app-a", "app-b")
        ids = [key.key_id for key in reversed(keys)]
        return list(zip(reversed(keys), pools[1 - end].redeem(ids, "app-a", "app-b"), strict=True))

    with ThreadPoolExecutor(8) as threads:
        pairs = [pair for result in threads.map(work, jobs) for pair in result]
    assert all(drawn.key == fetched.key for drawn, fetched in pairs)
    assert len({bytes(drawn.key) for drawn, _ in pairs}) == len(pairs) == 240
    for pool in pools:
        assert pool.status() == PoolStatus(0, 0)
        with pytest.raises(InsufficientKey, match="too few bits for 1 key of 8 bits"):
            pool.allocate(1, 8, "a", "b")


def test_many_threads_redeem_one_key_once(
    alice: SqliteLinkStore, bob: SqliteLinkStore, pools: tuple[KeyPool, KeyPool]
) -> None:
    for end in (alice, bob):
        end.release(block(1, 64))
    key = pools[0].allocate(1, 256, "a", "b")[0]

    def work(_: int) -> bytes | None:
        try:
            return bytes(pools[1].redeem([key.key_id], "a", "b")[0].key)
        except KeyNotFound:
            return None

    with ThreadPoolExecutor(8) as threads:
        got = [k for k in threads.map(work, range(16)) if k is not None]
    assert got == [key.key]


def test_delivered_and_spent_bytes_are_gone_from_the_files(
    tmp_path: Path, alice: SqliteLinkStore, bob: SqliteLinkStore, pools: tuple[KeyPool, KeyPool]
) -> None:
    def found(node: str, secret: bytes) -> bool:
        pieces = [secret[i : i + 16] for i in range(0, len(secret) - 15, 16)]
        contents = [f.read_bytes() for f in (tmp_path / node / "keys").iterdir()]
        return any(piece in content for piece in pieces for content in contents)

    made = block(1, 4000)
    alice.release(made)
    bob.prepare(made)
    assert found("bob", bytes(made.key[:64])) and found("alice", bytes(made.key[:64]))
    bob.roll_forward(1)
    keys = pools[0].allocate(3, 1024, "a", "b")
    for key in keys:
        assert not found("alice", bytes(key.key))
        assert found("bob", bytes(key.key))
    for key in (keys[1], keys[0], keys[2]):
        assert pools[1].redeem([key.key_id], "a", "b")[0].key == key.key
        assert not found("bob", bytes(key.key))
    pad = bytes(alice.take_pad(Direction.LEADER_TO_FOLLOWER, 600)[1])
    assert not found("alice", pad) and found("bob", pad)
    bob.move_pad_cursor(Direction.LEADER_TO_FOLLOWER, 600)
    assert not found("bob", pad)
    discarded = block(2, 4000)
    bob.prepare(discarded)
    assert found("bob", bytes(discarded.key))
    bob.discard_prepared(2)
    assert not found("bob", bytes(discarded.key))


def test_a_delivered_key_shows_and_keeps_nothing(
    alice: SqliteLinkStore, pools: tuple[KeyPool, KeyPool], make_block: MakeBlock
) -> None:
    alice.release(make_block(1))
    key = pools[0].allocate(1, 256, "a", "b")[0]
    assert repr(key) == f"DeliveredKey({key.key_id}, 256 bits)"
    key.wipe()
    assert key.key == bytes(32)


@pytest.mark.parametrize(("number", "size"), [(0, 8), (1, 0), (1, 12), (1, -8), (1, 65544)])
def test_sizes_that_no_key_can_have_are_refused(
    pools: tuple[KeyPool, KeyPool], number: int, size: int
) -> None:
    with pytest.raises(ValueError, match="cannot make"):
        pools[0].allocate(number, size, "a", "b")


def test_the_half_is_given_by_the_pairing(alice: SqliteLinkStore) -> None:
    with pytest.raises(StoreError, match="leader's half"):
        KeyPool(alice, Half.FOLLOWER)


def test_keys_longer_than_a_piece_and_across_blocks(
    alice: SqliteLinkStore, bob: SqliteLinkStore, pools: tuple[KeyPool, KeyPool]
) -> None:
    for end in (alice, bob):
        for number in range(1, 8):
            end.release(block(number, 2 * 1237))
    keys: Any = pools[0].allocate(1, 65536, "a", "b")
    assert pools[1].redeem([keys[0].key_id], "a", "b")[0].key == keys[0].key
    expected = b"".join(bytes(block(n, 2 * 1237).key[:1237]) for n in range(1, 8))
    assert keys[0].key == expected[:8192]

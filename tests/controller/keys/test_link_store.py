"""What a link end keeps: pads are spent once, blocks are released once and in order."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkd_controller.config.link import LinkFile
from qkd_controller.keys.contract import AmplifiedBlock, Direction, Half, LinkStore
from qkd_controller.keys.errors import PadExhausted, PadReused, PairingError, StoreError
from qkd_controller.keys.link_store import POOL_LINES, SqliteLinkStore, open_link
from qkd_controller.keys.pairing import PairingSecret, import_pairing, make_pairing
from qkd_controller.keys.store import KeyStore

MakeBlock = Callable[..., AmplifiedBlock]
DOWN = Direction.LEADER_TO_FOLLOWER
UP = Direction.FOLLOWER_TO_LEADER


def half(store: SqliteLinkStore, index: int) -> bytes:
    """All that is left of one half of the pool, taken out."""
    with store.line(POOL_LINES[index]) as line:
        return bytes(line.take(line.cursor, line.end - line.cursor))


def test_it_is_a_link_store(alice: SqliteLinkStore) -> None:
    store: LinkStore = alice
    assert store.highest_block() == 0


def test_both_ends_hold_the_pairing_secret(
    alice: SqliteLinkStore, bob: SqliteLinkStore, secret: PairingSecret
) -> None:
    for end in (alice, bob):
        keys = end.pairing_keys()
        assert keys == secret.keys
        assert keys.hash_keys[0] != keys.hash_keys[1]
        for direction in Direction:
            assert (end.pad_cursor(direction), end.pad_end(direction)) == (0, 2000)
            assert end.take_pad(direction, 700)[1] == secret.pads[direction][:700]
    assert (alice.own_half, bob.own_half) == (Half.LEADER, Half.FOLLOWER)
    assert (alice.peer, bob.peer) == ("bob", "alice")


def test_the_peer_reads_the_same_pad_at_the_cursor_it_is_told_and_spends_it_later(
    alice: SqliteLinkStore, bob: SqliteLinkStore
) -> None:
    alice.take_pad(DOWN, 33)
    cursor, pad = alice.take_pad(DOWN, 600)
    assert cursor == 33
    for _ in range(2):
        assert bob.read_pad(DOWN, cursor, 600) == pad
        assert bob.pad_cursor(DOWN) == 0
    bob.move_pad_cursor(DOWN, 633)
    with pytest.raises(PadReused):
        bob.read_pad(DOWN, cursor, 600)
    assert bob.pad_cursor(DOWN) == 633
    assert bob.pad_cursor(UP) == 0


def test_no_pad_is_used_twice(alice: SqliteLinkStore) -> None:
    alice.take_pad(DOWN, 100)
    with pytest.raises(PadReused):
        alice.read_pad(DOWN, 99, 1)
    alice.move_pad_cursor(DOWN, 50)
    assert alice.pad_cursor(DOWN) == 100
    alice.move_pad_cursor(DOWN, 500)
    with pytest.raises(PadReused):
        alice.read_pad(DOWN, 499, 10)
    assert alice.take_pad(DOWN, 10)[0] == 500


@pytest.mark.parametrize("cursor", [1991, 2001, 1 << 60])
def test_pad_past_the_end_is_exhausted_and_nothing_moves(
    alice: SqliteLinkStore, cursor: int
) -> None:
    with pytest.raises(PadExhausted, match="pair the link anew"):
        alice.read_pad(UP, cursor, 10)
    with pytest.raises(PadExhausted):
        alice.take_pad(UP, 2001)
    assert alice.pad_cursor(UP) == 0
    assert alice.take_pad(UP, 2000)[0] == 0
    with pytest.raises(PadExhausted):
        alice.take_pad(UP, 1)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["take", "read", "move"]), st.integers(0, 900), st.integers(0, 70)
        )
    )
)
def test_pads_are_spent_in_order_whatever_is_asked(
    tmp_path_factory: pytest.TempPathFactory, link: LinkFile, steps: list[tuple[str, int, int]]
) -> None:
    secret = make_pairing(link, 700)
    pad = bytes(secret.pads[DOWN])
    spent = 0
    with KeyStore(tmp_path_factory.mktemp("state")) as keys:
        import_pairing(keys, secret, "alice")
        store = open_link(keys, link, "alice")
        for kind, cursor, length in steps:
            try:
                if kind == "take":
                    at, taken = store.take_pad(DOWN, length)
                    assert at == spent
                elif kind == "read":
                    assert store.read_pad(DOWN, cursor, length) == pad[cursor : cursor + length]
                    assert cursor >= spent
                    at, taken = spent, bytearray()
                else:
                    store.move_pad_cursor(DOWN, cursor)
                    at, taken = max(cursor, spent), bytearray()
                assert taken == pad[at : at + len(taken)]
                spent = at + len(taken)
            except PadReused:
                assert kind == "read" and cursor < spent
            except PadExhausted:
                needed = length if kind != "move" else 0
                assert (spent if kind == "take" else cursor) + needed > len(pad)
            assert store.pad_cursor(DOWN) == spent


def test_release_and_roll_forward_have_the_same_effect(
    alice: SqliteLinkStore, bob: SqliteLinkStore, make_block: MakeBlock
) -> None:
    keys = [bytes(make_block(n).key) for n in (1, 3)]
    for number in (1, 3):
        alice.release(make_block(number))
        bob.prepare(make_block(number))
        bob.roll_forward(number)
    for store in (alice, bob):
        assert store.highest_block() == 3
        assert store.is_released(1) and store.is_released(3) and not store.is_released(2)
        assert store.prepared_blocks() == ()
        assert store.accumulated_epsilon() == pytest.approx(2e-10)
        for direction in Direction:
            assert store.pad_end(direction) == 2100
            store.move_pad_cursor(direction, 2000)
            refill = b"".join(k[50 * direction : 50 * direction + 50] for k in keys)
            assert store.take_pad(direction, 100)[1] == refill
        assert half(store, 0) == b"".join(k[100:800] for k in keys)
        assert half(store, 1) == b"".join(k[800:] for k in keys)


def test_failure_probabilities_add_up_block_by_block(
    bob: SqliteLinkStore, make_block: MakeBlock
) -> None:
    assert bob.accumulated_epsilon() == 0
    bob.release(make_block(1))
    bob.prepare(make_block(2))
    bob.prepare(make_block(4))
    assert bob.accumulated_epsilon() == bob.accumulated_epsilon() == pytest.approx(1e-10)
    bob.roll_forward(2)
    bob.discard_prepared(4)
    assert bob.accumulated_epsilon() == pytest.approx(2e-10)
    bob.release(make_block(5))
    assert bob.accumulated_epsilon() == pytest.approx(3e-10)


def test_a_prepared_block_gives_nothing_before_it_is_released(
    bob: SqliteLinkStore, make_block: MakeBlock
) -> None:
    bob.prepare(make_block(4))
    assert bob.prepared_blocks() == (4,)
    assert not bob.is_released(4)
    assert bob.pad_end(DOWN) == 2000
    assert half(bob, 0) == half(bob, 1) == b""
    bob.discard_prepared(4)
    bob.discard_prepared(5)
    assert bob.prepared_blocks() == ()
    assert bob.highest_block() == 4
    with pytest.raises(StoreError, match="never prepared"):
        bob.roll_forward(4)


def test_a_released_block_is_never_discarded_nor_released_twice(
    bob: SqliteLinkStore, make_block: MakeBlock
) -> None:
    bob.prepare(make_block(1))
    bob.roll_forward(1)
    bob.roll_forward(1)
    bob.discard_prepared(1)
    assert bob.is_released(1)
    for again in (bob.release, bob.prepare):
        with pytest.raises(StoreError, match="increasing order"):
            again(make_block(1))
    assert len(half(bob, 0)) == 700


def test_blocks_are_released_in_order(bob: SqliteLinkStore, make_block: MakeBlock) -> None:
    bob.prepare(make_block(1))
    bob.prepare(make_block(2))
    with pytest.raises(StoreError, match="before prepared block 1"):
        bob.roll_forward(2)
    with pytest.raises(StoreError, match="before prepared block 1"):
        bob.release(make_block(3))
    bob.discard_prepared(1)
    bob.roll_forward(2)
    assert bob.is_released(2)


@pytest.mark.parametrize(
    ("number", "length", "refill_bytes"),
    [(0, 10, 0), (1 << 63, 10, 0), (1, 10, 3), (1, 10, 12), (1, 10, -2)],
)
def test_unsound_blocks_are_refused(
    alice: SqliteLinkStore, make_block: MakeBlock, number: int, length: int, refill_bytes: int
) -> None:
    for store in (alice.prepare, alice.release):
        with pytest.raises(StoreError):
            store(make_block(number, length, refill_bytes))
    assert alice.highest_block() == 0


def test_numbers_that_no_block_can_have_are_unknown(bob: SqliteLinkStore) -> None:
    for number in (0, -1, 1 << 63, 1 << 70):
        assert not bob.is_released(number)
        bob.discard_prepared(number)
        with pytest.raises(StoreError, match="never prepared"):
            bob.roll_forward(number)


def test_an_odd_last_byte_goes_to_neither_half(
    alice: SqliteLinkStore, make_block: MakeBlock
) -> None:
    alice.release(make_block(1, length=13, refill_bytes=2))
    alice.release(make_block(2, length=5, refill_bytes=2))
    first, second = make_block(1).key, make_block(2).key
    assert half(alice, 0) == first[2:7] + second[2:3]
    assert half(alice, 1) == first[7:12] + second[3:4]


def test_everything_is_there_after_reopening(
    tmp_path: Path, link: LinkFile, secret: PairingSecret, make_block: MakeBlock
) -> None:
    with KeyStore(tmp_path) as keys:
        import_pairing(keys, secret, "bob")
        store = open_link(keys, link, "bob")
        store.take_pad(DOWN, 77)
        store.prepare(make_block(1))
        store.roll_forward(1)
        store.prepare(make_block(2))
    with KeyStore(tmp_path) as keys:
        store = open_link(keys, link, "bob")
        assert store.pairing_keys() == secret.keys
        assert store.pad_cursor(DOWN) == 77
        assert store.pad_end(DOWN) == 2050
        assert store.prepared_blocks() == (2,)
        assert store.highest_block() == 2
        assert len(half(store, 0)) == 700


def test_a_link_that_is_not_paired_says_how_to_pair(alice_store: KeyStore, link: LinkFile) -> None:
    with pytest.raises(PairingError, match="qkd pair import"):
        open_link(alice_store, link, "alice")


def test_another_link_file_than_the_paired_one_is_refused(
    alice: SqliteLinkStore, alice_store: KeyStore, link: LinkFile
) -> None:
    roles = msgspec.structs.replace(link.roles, commit_leader="bob")
    with pytest.raises(PairingError, match="commit leader"):
        open_link(alice_store, msgspec.structs.replace(link, roles=roles), "alice")
    with pytest.raises(PairingError, match="paired between alice and bob"):
        open_link(alice_store, msgspec.structs.replace(link, nodes=("alice", "carol")), "alice")
    with pytest.raises(PairingError, match="paired between alice and bob"):
        open_link(alice_store, link, "bob")

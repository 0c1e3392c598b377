"""The durable state of one link end, in the node's key store."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from qkd_controller.config.link import LinkFile
from qkd_controller.keys.contract import AmplifiedBlock, Direction, Half, PairingKeys
from qkd_controller.keys.errors import (
    InsufficientKey,
    PadExhausted,
    PadReused,
    PairingError,
    StoreError,
)
from qkd_controller.keys.line import ByteLine
from qkd_controller.keys.store import KeyStore

PAD_LINES = ("pad0", "pad1")
"""The pad of each Direction."""
POOL_LINES = ("half0", "half1")
"""Each Half of the pool that the link fills."""

LARGEST_BLOCK = 2**63 - 1

T = TypeVar("T")


def open_link(store: KeyStore, link: LinkFile, node: str) -> "SqliteLinkStore":
    """The state of this node's end; raises PairingError unless it was paired for just this link."""
    opened = SqliteLinkStore(store, link.name)
    peers = [name for name in link.nodes if name != node]
    if opened.node != node or peers != [opened.peer]:
        raise PairingError(
            f"link {link.name} was paired between {opened.node} and {opened.peer}, but the link"
            f" file names {' and '.join(link.nodes)} and this node is {node}; pair it anew"
        )
    leads = link.roles.commit_leader == node
    if leads != (opened.own_half is Half.LEADER):
        raise PairingError(
            f"link {link.name} was paired with another commit leader than"
            f" {link.roles.commit_leader}; the leader owns its half of the pool for as long as the"
            " pairing lasts: restore roles.commit_leader or pair the link anew"
        )
    return opened


class SqliteLinkStore:
    """A LinkStore; safe to share between threads. Raises PairingError if the link is not paired.

    Blocks become released in increasing order of their numbers, so that both ends lay the same
    bits at the same places of their pools. There is one pool a link and one link a peer.
    """

    def __init__(self, store: KeyStore, name: str) -> None:
        self.name = name
        self._store = store
        with store.transaction() as connection:
            row = connection.execute(
                "SELECT id, node, peer, own_half FROM link WHERE name = ?", (name,)
            ).fetchone()
        if row is None:
            raise PairingError(
                f"link {name} is not paired at this node; import the pairing file with:"
                " qkd pair import FILE --node NODE.toml"
            )
        self._id = int(row[0])
        self.node = str(row[1])
        self.peer = str(row[2])
        self.own_half = Half(row[3])
        self._summed = (0, 0.0)
        """The last block in the sum of failure probabilities, and the sum."""

    async def in_thread(self, call: Callable[[], T]) -> T:
        """As KeyStore.in_thread()."""
        return await self._store.in_thread(call)

    def pairing_keys(self) -> PairingKeys:
        with self._store.transaction() as connection:
            row = connection.execute(
                "SELECT hash_key_0, hash_key_1, check_key, key_id_key FROM link WHERE id = ?",
                (self._id,),
            ).fetchone()
        return PairingKeys((row[0], row[1]), row[2], row[3])

    def pad_cursor(self, direction: Direction) -> int:
        with self.line(PAD_LINES[direction]) as pad:
            return pad.cursor

    def pad_end(self, direction: Direction) -> int:
        with self.line(PAD_LINES[direction]) as pad:
            return pad.end

    def take_pad(self, direction: Direction, length_bytes: int) -> tuple[int, bytearray]:
        with self._pad(direction) as pad:
            return pad.take_next(length_bytes)

    def read_pad(self, direction: Direction, cursor: int, length_bytes: int) -> bytearray:
        with self._pad(direction, wipes=False) as pad:
            return pad.read_ahead(cursor, length_bytes)

    def move_pad_cursor(self, direction: Direction, cursor: int) -> None:
        with self._pad(direction) as pad:
            if cursor > pad.cursor:
                pad.skip_to(cursor)

    def highest_block(self) -> int:
        with self._store.transaction() as connection:
            return self._highest(connection)

    def prepared_blocks(self) -> tuple[int, ...]:
        with self._store.transaction() as connection:
            return self._prepared(connection)

    def is_released(self, block: int) -> bool:
        with self._store.transaction() as connection:
            return self._state(connection, block) == "released"

    def prepare(self, block: AmplifiedBlock) -> None:
        _require_sound(block)
        with self._store.transaction() as connection:
            self._require_new(connection, block.block)
            self._record(connection, block, "prepared")
            for name, data in _shares(block).items():
                line = ByteLine.create(connection, self._id, _prepared_line(block.block, name))
                line.append(data)

    def release(self, block: AmplifiedBlock) -> None:
        _require_sound(block)
        with self._store.transaction() as connection:
            self._require_new(connection, block.block)
            self._require_none_prepared_before(connection, block.block)
            self._record(connection, block, "released")
            for name, data in _shares(block).items():
                ByteLine(connection, self._id, name).append(data)

    def roll_forward(self, block: int) -> None:
        """Also harmless for a block released already; raises StoreError for an unknown one."""
        with self._store.transaction() as connection:
            state = self._state(connection, block)
            if state == "released":
                return
            if state is None:
                raise StoreError(f"block {block} of link {self.name} was never prepared here")
            self._require_none_prepared_before(connection, block)
            for name in PAD_LINES + POOL_LINES:
                prepared = ByteLine(connection, self._id, _prepared_line(block, name))
                ByteLine(connection, self._id, name).join(prepared)
            connection.execute(
                "UPDATE block SET state = 'released', changed_at = ? WHERE link = ? AND number = ?",
                (int(time.time()), self._id, block),
            )

    def discard_prepared(self, block: int) -> None:
        if block > LARGEST_BLOCK:
            return
        with self._store.transaction(wipes=True) as connection:
            if self._state(connection, block) != "prepared":
                return
            for name in PAD_LINES + POOL_LINES:
                ByteLine(connection, self._id, _prepared_line(block, name)).delete()
            connection.execute("DELETE FROM block WHERE link = ? AND number = ?", (self._id, block))

    def accumulated_epsilon(self) -> float:
        """Sum of the failure probabilities of all released blocks of this pairing."""
        with self._store.transaction() as connection:
            # Blocks are released in order, so that each is looked at once, however many there are.
            last, total = self._summed
            row = connection.execute(
                "SELECT coalesce(max(number), ?1), coalesce(sum(epsilon), 0.0) FROM block"
                " WHERE link = ?2 AND state = 'released' AND number > ?1",
                (last, self._id),
            ).fetchone()
            self._summed = int(row[0]), total + float(row[1])
            return self._summed[1]

    @contextlib.contextmanager
    def line(self, name: str, wipes: bool = False) -> Iterator[ByteLine]:
        """One of PAD_LINES or POOL_LINES, inside a transaction of its own."""
        with self._store.transaction(wipes) as connection:
            yield ByteLine(connection, self._id, name)

    @contextlib.contextmanager
    def _pad(self, direction: Direction, wipes: bool = True) -> Iterator[ByteLine]:
        where = f"the pad of link {self.name}, {direction.name.lower().replace('_', ' ')}"
        try:
            with self.line(PAD_LINES[direction], wipes) as pad:
                yield pad
        except InsufficientKey as error:
            raise PadExhausted(f"{where}, is exhausted ({error}); pair the link anew") from error
        except PadReused as error:
            raise PadReused(f"{where}, would be used twice: {error}") from error

    def _highest(self, connection: sqlite3.Connection) -> int:
        row = connection.execute(
            "SELECT highest_block FROM link WHERE id = ?", (self._id,)
        ).fetchone()
        return int(row[0])

    def _prepared(self, connection: sqlite3.Connection) -> tuple[int, ...]:
        rows = connection.execute(
            "SELECT number FROM block WHERE link = ? AND state = 'prepared' ORDER BY number",
            (self._id,),
        )
        return tuple(int(row[0]) for row in rows)

    def _state(self, connection: sqlite3.Connection, block: int) -> str | None:
        if block > LARGEST_BLOCK:
            return None
        row = connection.execute(
            "SELECT state FROM block WHERE link = ? AND number = ?", (self._id, block)
        ).fetchone()
        return None if row is None else str(row[0])

    def _require_new(self, connection: sqlite3.Connection, block: int) -> None:
        highest = self._highest(connection)
        if block <= highest:
            raise StoreError(
                f"block {block} of link {self.name} comes after block {highest}: blocks are stored"
                " once each, in increasing order"
            )

    def _require_none_prepared_before(self, connection: sqlite3.Connection, block: int) -> None:
        earlier = [number for number in self._prepared(connection) if number < block]
        if earlier:
            raise StoreError(
                f"block {block} of link {self.name} cannot be released before prepared block"
                f" {earlier[0]} is released or discarded"
            )

    def _record(self, connection: sqlite3.Connection, block: AmplifiedBlock, state: str) -> None:
        connection.execute(
            "INSERT INTO block (link, number, state, epsilon, changed_at) VALUES (?, ?, ?, ?, ?)",
            (self._id, block.block, state, block.epsilon, int(time.time())),
        )
        connection.execute(
            "UPDATE link SET highest_block = ? WHERE id = ?", (block.block, self._id)
        )


def _prepared_line(block: int, name: str) -> str:
    """Where a prepared block's share of a line stands until the block is released."""
    return f"{name} of block {block}"


def _shares(block: AmplifiedBlock) -> dict[str, memoryview]:
    """What refills both pads and extends both halves of the pool; an odd last byte is dropped."""
    key = memoryview(block.key)
    shares = _halves(key[: block.refill_bytes]) + _halves(key[block.refill_bytes :])
    return dict(zip(PAD_LINES + POOL_LINES, shares, strict=True))


def _halves(data: memoryview) -> tuple[memoryview, memoryview]:
    half = len(data) // 2
    return data[:half], data[half : 2 * half]


def _require_sound(block: AmplifiedBlock) -> None:
    if not 1 <= block.block <= LARGEST_BLOCK:
        raise StoreError(f"blocks are numbered from 1 to 2^63 - 1, not {block.block}")
    if not 0 <= block.refill_bytes <= len(block.key) or block.refill_bytes % 2:
        raise StoreError(
            f"block {block.block} has {len(block.key)} bytes; {block.refill_bytes} of them cannot"
            " refill two pads in equal parts"
        )

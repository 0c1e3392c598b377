"""Two link ends in one process: memory pipes, a durable store that lives in memory."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from qkd_controller.config.link import BlockPlan, LinkFile, Roles
from qkd_controller.keys.contract import AmplifiedBlock, Direction, PairingKeys
from qkd_controller.keys.errors import PadExhausted, PadReused, StoreError
from qkd_controller.link.codec import Codec
from qkd_controller.link.durable import DurableStore
from qkd_controller.link.message import BlockMessage, Message
from qkd_controller.link.serving import greet
from qkd_controller.link.session import Session, SessionTiming, session_codec
from qkd_controller.link.terms import LinkTerms
from qkd_controller.link.wire import Wire


class Note(Message, frozen=True):
    """A session message."""

    text: bytes


class Seed(BlockMessage, frozen=True):
    """A block message from which both ends take the key of the block."""

    value: bytes


class BlockBegun(Message, frozen=True):
    """A session message after which the peer opens the block."""

    number: int
    will_fail: bool


CODEC = session_codec((Note, Seed, BlockBegun))
TIMING = SessionTiming(5.0, 5.0, 5.0)


def secret(label: str, length: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(length)


def pairing_keys(salt: str = "") -> PairingKeys:
    return PairingKeys(
        (secret("hash 0" + salt, 16), secret("hash 1" + salt, 16)),
        secret("check" + salt, 32),
        secret("key id" + salt, 32),
    )


def link_file(**changes: Any) -> LinkFile:
    link = LinkFile(
        name="test",
        protocol="bbm92",
        nodes=("alice", "bob"),
        roles=Roles("alice", "bob", "alice", "bob"),
        block=BlockPlan(
            pairs=1000,
            key_basis="z",
            key_bits=400,
            test_bits=100,
            qber_tolerance_ratio=0.05,
            leakage_budget_bits=200,
        ),
    )
    for name, value in changes.items():
        link = replace_field(link, name, value)
    return link


def replace_field(link: LinkFile, name: str, value: Any) -> LinkFile:
    import msgspec

    return msgspec.structs.replace(link, **{name: value})


@dataclass
class MemoryStore:
    """A LinkStore whose every method is atomic; records what was released and each pad taken."""

    keys: PairingKeys = field(default_factory=pairing_keys)
    pads: list[bytes] = field(
        default_factory=lambda: [secret("pad 0", 8192), secret("pad 1", 8192)]
    )
    cursors: list[int] = field(default_factory=lambda: [0, 0])
    prepared: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    released: dict[int, bytes] = field(default_factory=dict)
    highest: int = 0
    taken: list[tuple[Direction, int, int]] = field(default_factory=list)

    def pairing_keys(self) -> PairingKeys:
        return self.keys

    def pad_cursor(self, direction: Direction) -> int:
        return self.cursors[direction]

    def pad_end(self, direction: Direction) -> int:
        return len(self.pads[direction])

    def take_pad(self, direction: Direction, length_bytes: int) -> tuple[int, bytearray]:
        cursor = self.cursors[direction]
        pad = self.read_pad(direction, cursor, length_bytes)
        self.cursors[direction] = cursor + length_bytes
        self.taken.append((direction, cursor, length_bytes))
        return cursor, pad

    def read_pad(self, direction: Direction, cursor: int, length_bytes: int) -> bytearray:
        if cursor < self.cursors[direction]:
            raise PadReused(f"{cursor} is spent")
        if cursor + length_bytes > self.pad_end(direction):
            raise PadExhausted("no pad is left")
        return bytearray(self.pads[direction][cursor : cursor + length_bytes])

    def move_pad_cursor(self, direction: Direction, cursor: int) -> None:
        if cursor > self.pad_end(direction):
            raise PadExhausted("no pad is left")
        self.cursors[direction] = max(cursor, self.cursors[direction])

    def highest_block(self) -> int:
        return self.highest

    def prepared_blocks(self) -> tuple[int, ...]:
        return tuple(self.prepared)

    def is_released(self, block: int) -> bool:
        return block in self.released

    def prepare(self, block: AmplifiedBlock) -> None:
        if block.block <= self.highest:
            raise StoreError(f"block {block.block} is not new")
        self.highest = block.block
        self.prepared[block.block] = (bytes(block.key), block.refill_bytes)

    def release(self, block: AmplifiedBlock) -> None:
        if block.block <= self.highest:
            raise StoreError(f"block {block.block} is not new")
        self.highest = block.block
        self._extend(block.block, bytes(block.key), block.refill_bytes)

    def roll_forward(self, block: int) -> None:
        if block not in self.released:
            self._extend(block, *self.prepared.pop(block))

    def discard_prepared(self, block: int) -> None:
        self.prepared.pop(block, None)

    def _extend(self, block: int, key: bytes, refill_bytes: int) -> None:
        if self.released and block <= max(self.released):
            raise StoreError("blocks must be released in order")
        half = refill_bytes // 2
        self.pads[0] += key[:half]
        self.pads[1] += key[half:refill_bytes]
        self.released[block] = key


class MemoryPipe:
    """One end of a pair of byte queues, whose chunks may be altered or counted on the way."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._peer: MemoryPipe | None = None
        self._closed = False
        self.on_write: Callable[[bytes], bytes] = bytes
        self.on_read: Callable[[bytes], bytes] = bytes

    @classmethod
    def pair(cls) -> "tuple[MemoryPipe, MemoryPipe]":
        one, other = cls(), cls()
        one._peer, other._peer = other, one
        return one, other

    async def read(self, place: memoryview, timeout_s: float) -> int:
        if self._closed:
            return 0
        if not self._rest:
            async with asyncio.timeout(timeout_s):
                chunk = await self._incoming.get()
            if not chunk or self._closed:
                self._incoming.put_nowait(b"")
                return 0
            self._rest = self.on_read(chunk)
        count = min(len(place), len(self._rest))
        place[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def write(self, *parts: bytes) -> None:
        if not self._closed and not self._peer._closed:
            data = self.on_write(b"".join(parts))
            if data:
                self._peer._incoming.put_nowait(data)

    def idle(self) -> bool:
        return not self._closed

    async def drain(self) -> None:
        if self._closed:
            raise ConnectionResetError("the pipe is closed")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._incoming.put_nowait(b"")
            self._peer._incoming.put_nowait(b"")

    async def closed(self) -> None:
        """Closed at once."""


async def inline(call: Callable[[], Any]) -> Any:
    """In place of a thread: the fake store does not block."""
    return call()


async def open_session(
    own: str,
    pipe: MemoryPipe,
    store: DurableStore,
    link: LinkFile | None = None,
    timing: SessionTiming = TIMING,
    codec: Codec = CODEC,
) -> tuple[Session, Any]:
    """Greets the peer and resumes."""
    terms = LinkTerms.of(link or link_file(), own)
    keys = await store.read(lambda s: s.pairing_keys())
    wire = Wire(pipe, terms.peer)
    try:
        agreement = await greet(wire, terms, keys.check_key, timing.handshake_timeout_s)
        session = Session(wire, agreement, await store.lease(), keys, codec, timing)
        return session, await session.resume()
    except BaseException:
        wire.close()
        raise


async def both(one: Awaitable[Any], other: Awaitable[Any]) -> list[Any]:
    """The results of both, an exception being a result."""
    return await asyncio.gather(one, other, return_exceptions=True)

"""What one link end keeps across a crash, and what may be asked of it."""

import enum
from dataclasses import dataclass
from typing import Protocol


class Direction(enum.IntEnum):
    """The two directions of a link, named by the commit roles."""

    LEADER_TO_FOLLOWER = 0
    FOLLOWER_TO_LEADER = 1


class Half(enum.IntEnum):
    """The two halves of a pool: who allocates keys from it; the other end only redeems them."""

    LEADER = 0
    FOLLOWER = 1


@dataclass(frozen=True, repr=False)
class PairingKeys:
    """The lasting part of the pairing secret; every key has its one use."""

    hash_keys: tuple[bytes, bytes]
    """A 16-byte polynomial-hash key a Direction."""
    check_key: bytes
    """Proves in the handshake that both ends hold the same secret."""
    key_id_key: bytes
    """Binds the IDs of delivered keys to their place in the pool and their two applications."""


@dataclass(frozen=True, repr=False)
class AmplifiedBlock:
    """The secret bits of one block, ready to be prepared or released."""

    block: int
    key: bytearray
    """Whole bytes; the owner wipes it once the store has taken it."""
    refill_bytes: int
    """So many first bytes refill the pad, half of them each Direction in turn."""
    epsilon: float
    """Total failure probability: secrecy + correctness + authentication."""


class LinkStore(Protocol):
    """Durable state of one link end.

    Every method is synchronous (callers use a thread) and returns only once its effect is
    durable, whole or not at all.
    """

    def pairing_keys(self) -> PairingKeys: ...

    def pad_cursor(self, direction: Direction) -> int:
        """Bytes of this direction's pad that are spent, whether used or skipped."""

    def pad_end(self, direction: Direction) -> int:
        """Bytes of this direction's pad ever provided."""

    def take_pad(self, direction: Direction, length_bytes: int) -> tuple[int, bytearray]:
        """Spends pad: (its first cursor, the bytes). Raises PadExhausted."""

    def read_pad(self, direction: Direction, cursor: int, length_bytes: int) -> bytearray:
        """Pad at the peer's cursor, spent only by move_pad_cursor() once its tag is verified.

        Raises PadReused if cursor lies before what is spent, PadExhausted past the end.
        """

    def move_pad_cursor(self, direction: Direction, cursor: int) -> None:
        """Skips pad up to cursor; a smaller cursor than the present one changes nothing."""

    def highest_block(self) -> int:
        """The largest block number ever prepared or released; 0 for none."""

    def prepared_blocks(self) -> tuple[int, ...]: ...

    def is_released(self, block: int) -> bool: ...

    def prepare(self, block: AmplifiedBlock) -> None:
        """Stores the block as prepared; none of its bits can be delivered yet."""

    def release(self, block: AmplifiedBlock) -> None:
        """Stores the block as released: pad refilled, both halves of the pool extended."""

    def roll_forward(self, block: int) -> None:
        """Makes a prepared block released, with the same effect as release()."""

    def discard_prepared(self, block: int) -> None:
        """Forgets a prepared block and wipes its bits; unknown or released: no effect."""

"""The pool of key that two nodes share: each end allocates from one half and redeems the other.

Keys get their size and their ID at delivery. Since no bit is in both halves and each half has one
allocator, two applications that ask at both ends at once never get the same bits.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qkd_controller.keys.contract import Half
from qkd_controller.keys.errors import InsufficientKey, KeyNotFound, StoreError
from qkd_controller.keys.key_id import LARGEST_KEY_BITS, Place, open_place, seal_place
from qkd_controller.keys.link_store import POOL_LINES, SqliteLinkStore

T = TypeVar("T")


@dataclass(frozen=True)
class PoolStatus:
    """What a pool holds at this end, in bits."""

    own_bits: int
    """Can be allocated here."""
    redeemable_bits: int
    """Were or can be allocated at the other end, and have not been redeemed here."""


@dataclass(frozen=True, repr=False)
class DeliveredKey:
    """A key on its way out; the store holds it no more."""

    key_id: uuid.UUID
    key: bytearray

    def __repr__(self) -> str:
        return f"DeliveredKey({self.key_id}, {8 * len(self.key)} bits)"

    def wipe(self) -> None:
        """Overwrites the key."""
        self.key[:] = bytes(len(self.key))


class KeyPool:
    """The pool shared with one peer; safe to use from many threads at once.

    Raises StoreError if own_half is not the half that the pairing gave to this end.
    """

    def __init__(self, store: SqliteLinkStore, own_half: Half) -> None:
        if own_half is not store.own_half:
            raise StoreError(
                f"by its pairing this node allocates from the {store.own_half.name.lower()}'s half"
                f" of the pool with {store.peer}, not from the {own_half.name.lower()}'s"
            )
        self.peer = store.peer
        self._store = store
        self._own_half = own_half
        self._peer_half = Half(1 - own_half)
        self._key_id_key = store.pairing_keys().key_id_key

    async def in_thread(self, call: Callable[[], T]) -> T:
        """As KeyStore.in_thread()."""
        return await self._store.in_thread(call)

    def status(self) -> PoolStatus:
        """How much key there is now."""
        with self._store.line(POOL_LINES[self._own_half]) as line:
            own = line.remaining_bytes()
        with self._store.line(POOL_LINES[self._peer_half]) as line:
            redeemable = line.remaining_bytes()
        return PoolStatus(8 * own, 8 * redeemable)

    def allocate(self, number: int, size_bits: int, master: str, slave: str) -> list[DeliveredKey]:
        """New keys for two applications, durably gone from the pool before this returns.

        Raises InsufficientKey, taking none, if there are fewer bits; ValueError for sizes that
        are no whole bytes or beyond LARGEST_KEY_BITS.
        """
        if number < 1 or size_bits % 8 or not 0 < size_bits <= LARGEST_KEY_BITS:
            raise ValueError(f"cannot make {number} keys of {size_bits} bits")
        size = size_bits // 8
        try:
            with self._store.line(POOL_LINES[self._own_half], wipes=True) as line:
                first, data = line.take_next(number * size)
        except InsufficientKey as error:
            raise InsufficientKey(
                f"the pool with {self.peer} has too few bits for {number}"
                f" {'key' if number == 1 else 'keys'} of {size_bits} bits;"
                " ask again once the link has made more"
            ) from error
        keys = []
        for start in range(0, number * size, size):
            place = Place(self._own_half, first + start, size)
            key_id = seal_place(self._key_id_key, place, master, slave)
            keys.append(DeliveredKey(key_id, data[start : start + size]))
        data[:] = bytes(len(data))
        return keys

    def redeem(self, key_ids: Sequence[uuid.UUID], master: str, slave: str) -> list[DeliveredKey]:
        """The keys that the other end allocated under these IDs: all or none, and only once.

        Raises KeyOfOthers if any was made for other applications, else KeyNotFound if any is
        unknown, delivered before, or not made by the other end.
        """
        places: list[Place] = []
        missing: KeyNotFound | None = None
        for key_id in key_ids:
            try:
                places.append(open_place(self._key_id_key, key_id, master, slave))
            except KeyNotFound as error:
                missing = error
        if missing:
            raise missing
        if any(place.half is not self._peer_half for place in places):
            raise KeyNotFound("a key can be fetched by its ID only at the other end")
        keys: list[DeliveredKey] = []
        try:
            with self._store.line(POOL_LINES[self._peer_half], wipes=True) as line:
                for key_id, place in zip(key_ids, places, strict=True):
                    keys.append(DeliveredKey(key_id, line.take(place.offset, place.length_bytes)))
        except BaseException:
            for key in keys:
                key.wipe()
            raise
        return keys

"""Key IDs that tell the other end where a key lies, so that no message need pass between the nodes.

An ID is a UUID of version 8 (RFC 9562 clause 5.8). From the most significant bit, its 122 free
bits are: half (1), first byte in that half (44), length in bytes less one (13), place tag (16),
owner tag (48). Both tags are truncated HMAC-SHA256 (RFC 2104) under the pairing's key-id key. The
place tag binds the place, the owner tag also the two applications. The place is no secret.
"""

import hmac
import uuid
from dataclasses import dataclass

from qkd_controller.keys.contract import Half
from qkd_controller.keys.errors import KeyNotFound, KeyOfOthers

LARGEST_KEY_BITS = 8 << 13
"""The longest key that an ID can describe."""

_OFFSET_BITS, _LENGTH_BITS, _PLACE_TAG_BITS, _OWNER_TAG_BITS = 44, 13, 16, 48


@dataclass(frozen=True)
class Place:
    """Where in the pool a key lies."""

    half: Half
    offset: int
    """Of its first byte, from the beginning of the half."""
    length_bytes: int


def seal_place(key_id_key: bytes, place: Place, master: str, slave: str) -> uuid.UUID:
    """The ID of the key at a place, for these two applications.

    Raises ValueError if the place does not fit an ID.
    """
    if not (0 <= place.offset < 1 << _OFFSET_BITS and 0 < place.length_bytes <= 1 << _LENGTH_BITS):
        raise ValueError(f"no key ID can describe {place}")
    bits = int(place.half)
    bits = bits << _OFFSET_BITS | place.offset
    bits = bits << _LENGTH_BITS | (place.length_bytes - 1)
    bits = bits << _PLACE_TAG_BITS | _place_tag(key_id_key, place)
    bits = bits << _OWNER_TAG_BITS | _owner_tag(key_id_key, place, master, slave)
    return uuid.UUID(
        int=bits >> 74 << 80 | 8 << 76 | (bits >> 62 & 0xFFF) << 64 | 2 << 62 | _low(bits)
    )


def open_place(key_id_key: bytes, key_id: uuid.UUID, master: str, slave: str) -> Place:
    """Where the key of an ID lies.

    Raises KeyNotFound if the ID was not made under this key, KeyOfOthers if it was, but for
    another pair of applications.
    """
    bits = key_id.int >> 80 << 74 | (key_id.int >> 64 & 0xFFF) << 62 | _low(key_id.int)
    bits, owner_tag = bits >> _OWNER_TAG_BITS, bits & (1 << _OWNER_TAG_BITS) - 1
    bits, place_tag = bits >> _PLACE_TAG_BITS, bits & (1 << _PLACE_TAG_BITS) - 1
    bits, length = bits >> _LENGTH_BITS, bits & (1 << _LENGTH_BITS) - 1
    place = Place(Half(bits >> _OFFSET_BITS), bits & (1 << _OFFSET_BITS) - 1, length + 1)
    ours = key_id.version == 8 and _equal(place_tag, _place_tag(key_id_key, place))
    if not ours:
        raise KeyNotFound(f"key {key_id} is not of this pool")
    if not _equal(owner_tag, _owner_tag(key_id_key, place, master, slave)):
        raise KeyOfOthers(f"key {key_id} was not made for {master} and {slave}")
    return place


def _place_tag(key: bytes, place: Place) -> int:
    return _tag(key, [b"place", _encoded(place)], _PLACE_TAG_BITS)


def _owner_tag(key: bytes, place: Place, master: str, slave: str) -> int:
    return _tag(key, [b"owner", _encoded(place), master.encode(), slave.encode()], _OWNER_TAG_BITS)


def _encoded(place: Place) -> bytes:
    return bytes([place.half]) + place.offset.to_bytes(8) + place.length_bytes.to_bytes(8)


def _tag(key: bytes, parts: list[bytes], bits: int) -> int:
    message = b"".join(len(part).to_bytes(4) + part for part in parts)
    return int.from_bytes(hmac.digest(key, message, "sha256")[: bits // 8])


def _equal(found: int, expected: int) -> bool:
    return hmac.compare_digest(found.to_bytes(8), expected.to_bytes(8))


def _low(bits: int) -> int:
    return bits & (1 << 62) - 1

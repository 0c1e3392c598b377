"""Polynomial hash over GF(2^128), the universal hash behind every authentication tag."""

from typing import Any

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

BLOCK_BYTES = 16
_ELEMENT = ffi.typeof("uint8_t[16]")


class PolyHash:
    """Streaming H_r(message ‖ zero padding ‖ bit length) over GF(2^128).

    Two different messages collide with probability at most
    ``collision_bound(length)`` over a uniform 16-byte key.
    """

    def __init__(self, key: bytes | bytearray | memoryview) -> None:
        _check_key(key)
        self._key = ffi.new(_ELEMENT, bytes(key))
        self._state = ffi.new(_ELEMENT)
        self._tail = bytearray()
        self._length_bytes = 0
        self._tier = int(current())

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Absorbs data; the result depends only on the concatenation of all updates."""
        view = memoryview(data).cast("B")
        self._length_bytes += len(view)
        if self._tail:
            take = min(BLOCK_BYTES - len(self._tail), len(view))
            self._tail += view[:take]
            view = view[take:]
            if len(self._tail) < BLOCK_BYTES:
                return
            self._absorb(self._tail, 1)
            self._tail = bytearray()
        blocks = len(view) // BLOCK_BYTES
        if blocks:
            self._absorb(view, blocks)
        self._tail += view[blocks * BLOCK_BYTES :]

    def digest(self) -> bytes:
        """The 16-byte hash of everything absorbed so far; absorbing may go on."""
        return _finish(self._state, self._key, self._tail, self._length_bytes, self._tier)

    def wipe(self) -> None:
        """Overwrites key and state; the object is of no use afterwards."""
        ffi.memmove(self._key, bytes(BLOCK_BYTES), BLOCK_BYTES)
        ffi.memmove(self._state, bytes(BLOCK_BYTES), BLOCK_BYTES)

    def _absorb(self, data: bytearray | memoryview, blocks: int) -> None:
        lib.qkd_poly_absorb(self._state, self._key, ffi.from_buffer(data), blocks, self._tier)


def poly_hash(key: bytes, data: bytes | bytearray | memoryview) -> bytes:
    """The 16-byte hash of data under a 16-byte key."""
    _check_key(key)
    view = memoryview(data)
    return _finish(bytes(BLOCK_BYTES), bytes(key), view, view.nbytes, int(current()))


def collision_bound(length_bytes: int) -> float:
    """Upper bound on the collision probability for messages of at most length_bytes."""
    blocks = -(-length_bytes // BLOCK_BYTES) + 1
    return float(blocks) * 2.0**-128


def _check_key(key: bytes | bytearray | memoryview) -> None:
    if len(key) != BLOCK_BYTES:
        raise ValueError(f"a polynomial hash key has {BLOCK_BYTES} bytes, not {len(key)}")


def _finish(
    state: Any, key: Any, tail: bytearray | memoryview, length_bytes: int, tier: int
) -> bytes:
    digest = ffi.new(_ELEMENT)
    data = ffi.from_buffer(tail)
    lib.qkd_poly_finish(digest, state, key, data, len(data), length_bytes, tier)
    return bytes(ffi.buffer(digest))

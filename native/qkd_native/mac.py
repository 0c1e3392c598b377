"""Polynomial hash over GF(2^128), the universal hash behind every authentication tag."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def frame_hashes(
    key: bytes | bytearray | memoryview, packed: NDArray[np.uint8], bit_count: int, frame_bits: int
) -> NDArray[np.uint8]:
    """The hash of each frame of a packed string of bit_count bits, bit 0 of byte 0 first.

    A frame's hash is `poly_hash` of its bits packed by themselves. All frames hold frame_bits but
    for a shorter last one. Returns uint8 [frames, 16]; raises ValueError if packed is no contiguous
    uint8 array of the length that bit_count asks for.
    """
    _check_key(key)
    if frame_bits < 1 or bit_count < 0:
        raise ValueError("frames have at least one bit")
    if packed.dtype != np.uint8 or packed.shape != (-(-bit_count // 8),):
        raise ValueError(f"{bit_count} bits are not packed into {packed.shape} {packed.dtype}")
    packed = np.ascontiguousarray(packed)
    digests = np.empty((-(-bit_count // frame_bits), BLOCK_BYTES), np.uint8)
    lib.qkd_poly_frames(
        ffi.from_buffer("uint8_t[]", digests),
        bytes(key),
        ffi.from_buffer("uint8_t[]", packed),
        bit_count,
        frame_bits,
        int(current()),
    )
    return digests


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

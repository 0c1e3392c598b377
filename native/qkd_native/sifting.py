"""Basis sift of matched events.

An event code has the bit in bit 0, the basis in bit 1 (0 z, 1 x), and bit 2 set if it came of
several clicks at once. Codes and strings are raw key, for the caller to wipe.
"""

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.bits import BitString, words_for
from qkd_native.tier import current

Codes = npt.NDArray[np.uint8]


def take(codes: Codes, indices: npt.NDArray[np.int64]) -> Codes:
    """The codes at these indices, as a matcher gives them; ValueError if one lies outside."""
    _check(codes)
    if indices.dtype != np.int64 or indices.ndim != 1:
        raise ValueError("indices are a flat int64 array")
    taken = np.empty(len(indices), np.uint8)
    if lib.qkd_sift_take(
        ffi.from_buffer("uint8_t[]", np.ascontiguousarray(codes)),
        len(codes),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(indices)),
        len(indices),
        ffi.from_buffer("uint8_t[]", taken),
    ):
        taken.fill(0)
        raise ValueError(f"an index lies outside of {len(codes)} events")
    return taken


def take_apart(codes: Codes, bits: BitString, bases: BitString) -> int:
    """Moves the codes' bits and bases into two strings of as many; the codes become zeros.

    Returns how many codes came of several clicks. Raises ValueError for strings of another length,
    or codes that are not contiguous and writeable.
    """
    _check(codes)
    if not (codes.flags.c_contiguous and codes.flags.writeable):
        raise ValueError("event codes that are taken apart are contiguous and writeable")
    if not bits.size == bases.size == len(codes):
        raise ValueError(f"strings of {bits.size} and {bases.size} bits for {len(codes)} events")
    several: int = lib.qkd_sift_codes(
        current(),
        ffi.from_buffer("uint8_t[]", codes),
        len(codes),
        ffi.from_buffer("uint64_t[]", bits.words),
        ffi.from_buffer("uint64_t[]", bases.words),
    )
    return several


def sift(
    bits: BitString, bases: BitString, peer_bases: bytes | memoryview
) -> tuple[BitString, BitString]:
    """Own bits of the events that both ends measured in z, and in x, in order.

    peer_bases are packed. The z string takes the words of bits, the x string those of bases, and
    neither argument is of use afterwards. Raises ValueError for different numbers of events.
    """
    count = bits.size
    if bases.size != count or len(peer_bases) != -(-count // 8):
        raise ValueError(
            f"{count} bits, {bases.size} bases, {len(peer_bases)} bytes of the peer's bases"
        )
    kept = ffi.new("size_t[2]")
    lib.qkd_sift(
        current(),
        ffi.from_buffer("uint64_t[]", bits.words),
        ffi.from_buffer("uint64_t[]", bases.words),
        ffi.from_buffer("uint8_t[]", peer_bases),
        count,
        kept,
    )
    z, x = (
        BitString(string.words[: words_for(length)], length)
        for string, length in zip((bits, bases), kept, strict=True)
    )
    return z, x


def _check(codes: Codes) -> None:
    if codes.dtype != np.uint8 or codes.ndim != 1:
        raise ValueError("event codes are a flat uint8 array")

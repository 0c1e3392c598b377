"""Basis sift of matched events, and their codes and bases.

An event code has the bit in bit 0 and the basis in bit 1 (0 z, 1 x). Packed bits are little-endian.
Results are raw key and the only copies, for the caller to wipe.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

Codes = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint8]
"""One bit a byte, 0 or 1."""


class PackedBits(NamedTuple):
    """length bits in (length + 7) // 8 bytes, zeros after the last."""

    data: npt.NDArray[np.uint8]
    length: int


def take(codes: Codes, indices: npt.NDArray[np.int64]) -> Codes:
    """The codes at these indices, as a matcher gives them; ValueError if one lies outside."""
    _check(codes)
    if indices.dtype != np.int64 or indices.ndim != 1:
        raise ValueError("indices are a flat int64 array")
    taken = np.empty(len(indices), np.uint8)
    if lib.qkd_sift_take(
        _bytes(codes),
        len(codes),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(indices)),
        len(indices),
        _bytes(taken),
    ):
        taken.fill(0)
        raise ValueError(f"an index lies outside of {len(codes)} events")
    return taken


def drop(codes: Codes, indices: npt.NDArray[np.int64]) -> Codes:
    """The codes but for those at these indices; ValueError unless they rise within the codes."""
    _check(codes)
    if indices.dtype != np.int64 or indices.ndim != 1:
        raise ValueError("indices are a flat int64 array")
    if len(indices) > len(codes):
        raise ValueError(f"{len(indices)} indices to drop of {len(codes)} events")
    kept = np.empty(len(codes) - len(indices), np.uint8)
    if lib.qkd_sift_drop(
        _bytes(codes),
        len(codes),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(indices)),
        len(indices),
        _bytes(kept),
    ):
        kept.fill(0)
        raise ValueError(f"the indices do not rise within {len(codes)} events")
    return kept


def pack_bases(codes: Codes) -> bytes:
    """The bases of the codes, packed."""
    _check(codes)
    bases = np.empty((len(codes) + 7) // 8, np.uint8)
    lib.qkd_sift_bases(current(), _bytes(codes), len(codes), _bytes(bases))
    return bases.tobytes()


def sift(codes: Codes, peer_bases: bytes | npt.NDArray[np.uint8]) -> tuple[Bits, Bits]:
    """Own bits of the events that both ends measured in z, and in x, in order, one a byte.

    peer_bases are packed. Raises ValueError where they are not as many bytes as the codes need.
    """
    _check(codes, peer_bases)
    z, x = np.empty(len(codes), np.uint8), np.empty(len(codes), np.uint8)
    kept = ffi.new("size_t[2]")
    lib.qkd_sift(
        current(), _bytes(codes), _bytes(peer_bases), len(codes), _bytes(z), _bytes(x), kept
    )
    for string, count in zip((z, x), kept, strict=True):
        # The memory that was not needed goes back without a copy; nobody else knows these arrays.
        string.resize(count, refcheck=False)
    return z, x


def sift_packed(
    codes: Codes, peer_bases: bytes | npt.NDArray[np.uint8]
) -> tuple[PackedBits, PackedBits]:
    """The same strings as `sift` makes, packed."""
    _check(codes, peer_bases)
    size = (len(codes) + 7) // 8
    z, x = np.empty(size, np.uint8), np.empty(size, np.uint8)
    kept = ffi.new("size_t[2]")
    lib.qkd_sift_packed(
        current(), _bytes(codes), _bytes(peer_bases), len(codes), _bytes(z), _bytes(x), kept
    )
    for string, count in zip((z, x), kept, strict=True):
        string.resize((count + 7) // 8, refcheck=False)
    return PackedBits(z, kept[0]), PackedBits(x, kept[1])


def _check(codes: Codes, peer_bases: bytes | npt.NDArray[np.uint8] | None = None) -> None:
    if codes.dtype != np.uint8 or codes.ndim != 1:
        raise ValueError("event codes are a flat uint8 array")
    if isinstance(peer_bases, np.ndarray) and (
        peer_bases.dtype != np.uint8 or peer_bases.ndim != 1
    ):
        raise ValueError("packed bases are a flat uint8 array")
    if peer_bases is not None and len(peer_bases) != (len(codes) + 7) // 8:
        raise ValueError(f"{len(peer_bases)} bytes of bases for {len(codes)} events")


def _bytes(buffer: bytes | npt.NDArray[np.uint8]) -> object:
    flat = buffer if isinstance(buffer, bytes) else np.ascontiguousarray(buffer)
    address: object = ffi.from_buffer("uint8_t[]", flat)
    return address

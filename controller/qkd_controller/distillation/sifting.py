"""Basis sifting and the choice of subsets, the same at both ends.

The number of pairs of a block is fixed before any basis is announced, and the strings are then cut
to n and k by a subset drawn at random: a protocol that goes on collecting until each basis has
enough lets the announced bases decide which rounds are kept, and its sampling is not uniform
(Pfister, Lütkenhaus, Wehner, Coles, New J. Phys. 18, 053001, 2016).
"""

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

Basis = Literal["z", "x"]
Bits = npt.NDArray[np.uint8]

_BIT = 1
_BASIS_SHIFT = 1


def pack_bases(codes: Bits) -> bytes:
    """The bases of event codes, a bit an event, little-endian."""
    return np.packbits(_bases(codes), bitorder="little").tobytes()


def unpack_bases(data: bytes, count: int) -> Bits:
    """count bases (0 z, 1 x) from pack_bases; ValueError for a wrong length or set padding bits."""
    if count < 0 or len(data) != -(-count // 8):
        raise ValueError(f"{len(data)} bytes do not hold the bases of {count} events")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if bits[count:].any():
        raise ValueError("bits are set beyond the last basis")
    return bits[:count]


def sift(own_codes: Bits, peer_bases: Bits) -> dict[Basis, Bits]:
    """Own bits (0 or 1) of the events that both ends measured in z, and in x, in order.

    The results are the only copies, for the caller to wipe. Raises ValueError where the two arrays
    differ in length.
    """
    if own_codes.shape != peer_bases.shape:
        raise ValueError(f"{len(own_codes)} events, but {len(peer_bases)} bases of the peer")
    bases = _bases(own_codes)
    bits = own_codes & np.uint8(_BIT)
    agree = bases == peer_bases
    sifted: dict[Basis, Bits] = {"z": bits[agree & (bases == 0)], "x": bits[agree & (bases == 1)]}
    bits.fill(0)
    return sifted


def choose_subset(seed: bytes, domain: str, count: int, quota: int) -> npt.NDArray[np.int64]:
    """quota of the indices 0 … count - 1, sorted: a uniform subset fixed by seed and domain.

    Each index has a 64-bit key from SHAKE-256 (FIPS 202) and the smallest keys win, ties by index;
    the result depends on no library's generator. Raises ValueError for quota outside 0 … count.
    """
    if not 0 <= quota <= count:
        raise ValueError(f"cannot choose {quota} of {count}")
    if quota == 0:
        return np.empty(0, np.int64)
    label = domain.encode()
    shake = hashlib.shake_256(len(label).to_bytes(4, "little") + label)
    shake.update(count.to_bytes(8, "little") + seed)
    keys = np.frombuffer(shake.digest(8 * count), "<u8")
    highest = np.partition(keys, quota - 1)[quota - 1]
    below = np.flatnonzero(keys < highest)
    level = np.flatnonzero(keys == highest)[: quota - len(below)]
    return np.sort(np.concatenate((below, level))).astype(np.int64)


def _bases(codes: Bits) -> Bits:
    return (codes >> np.uint8(_BASIS_SHIFT)) & np.uint8(1)

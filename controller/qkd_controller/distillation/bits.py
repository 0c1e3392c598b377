"""Strings of bits: one a byte while they are worked on, packed while they travel."""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]


def pack_bits(bits: Bits) -> Bits:
    """uint8 zeros and ones → packed uint8, bit 0 of byte 0 first, zero padding."""
    return np.packbits(bits, bitorder="little")


def corrections(received: Bits, corrected: Bits) -> int:
    """How many bits of a string, one a byte, differ from its packed earlier state."""
    packed = pack_bits(corrected)
    try:
        packed ^= received
        return int(np.bitwise_count(packed).sum(dtype=np.int64))
    finally:
        packed.fill(0)


def unpack_bits(packed: bytes, count: int) -> Bits:
    """The first count bits of a packed string, one a byte; raises ValueError if it is shorter."""
    if len(packed) * 8 < count:
        raise ValueError(f"{len(packed)} bytes do not hold {count} bits")
    return np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little", count=count)

"""What both ends sift alike: subsets of their strings, and the errors of test slices.

The number of pairs of a block is fixed before any basis is announced, and the strings are then cut
to n and k by a subset drawn at random: a protocol that goes on collecting until each basis has
enough lets the announced bases decide which rounds are kept, and its sampling is not uniform
(Pfister, Lütkenhaus, Wehner, Coles, New J. Phys. 18, 053001, 2016).
"""

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from qkd_native.bits import BitString


class Compared(NamedTuple):
    """Of one basis that both ends measured in."""

    sifted: int
    errors: int


def compare(own: npt.NDArray[np.uint8], peer: npt.NDArray[np.uint8]) -> tuple[Compared, Compared]:
    """What two ends' codes of the same events have in common in z, and in x."""
    differing = own ^ peer
    kinds = (own & 2 | differing & 1)[differing & 2 == 0]
    right_z, wrong_z, right_x, wrong_x = np.bincount(kinds, minlength=4).tolist()
    return Compared(right_z + wrong_z, wrong_z), Compared(right_x + wrong_x, wrong_x)


class Shake(Protocol):
    """A stream of bytes that can be read from its beginning to any length."""

    def digest(self, length: int, /) -> bytes:
        """Its first bytes."""
        ...


@dataclass(frozen=True, eq=False)
class Subset:
    """Some of the indices 0 … count - 1, by the fewer of those in it and those left out."""

    count: int
    listed: npt.NDArray[np.int64]
    """Sorted."""
    chosen: bool
    """Whether the listed indices are the subset, or what it leaves out."""

    def cut(self, string: BitString) -> None:
        """Cuts a string to its bits at these indices; ValueError unless it has count bits."""
        if string.size != self.count:
            raise ValueError(f"a subset of {self.count} cannot be one of {string.size} bits")
        string.keep(self.listed, rest=not self.chosen)


def choose_subset(seed: bytes, domain: str, count: int, quota: int) -> Subset:
    """quota of the indices 0 … count - 1: a uniform subset fixed by seed and domain.

    The smaller of what is chosen and what is left out is drawn: 32-bit words of SHAKE-256 (FIPS
    202), cut to the bits of count - 1, are indices; those of count or more and those drawn before
    do not count. The result depends on no library's generator. Raises ValueError for quota outside
    0 … count, or a count above 2^32.
    """
    if not 0 <= quota <= count <= 1 << 32:
        raise ValueError(f"cannot choose {quota} of {count}")
    fewer = min(quota, count - quota)
    label = domain.encode()
    shake = hashlib.shake_256(len(label).to_bytes(4, "little") + label)
    shake.update(count.to_bytes(8, "little") + seed)
    return Subset(count, _drawn(shake, count, fewer), chosen=quota == fewer)


def _drawn(shake: Shake, count: int, wanted: int) -> npt.NDArray[np.int64]:
    """The first so many distinct indices that the stream gives, at most half of all, sorted."""
    if wanted == 0:
        return np.empty(0, np.int64)
    mask = np.uint32((1 << (count - 1).bit_length()) - 1)
    # So many draws bring as many distinct indices on average; a little more is mostly enough.
    draws = count * -math.log1p(-wanted / count)
    words = int((draws + 6 * math.sqrt(draws)) * (int(mask) + 1) / count) + 8
    while True:
        drawn = np.frombuffer(shake.digest(4 * words), "<u4") & mask
        drawn = drawn[drawn < count]
        # Equal indices side by side, the one drawn first in front.
        order = drawn.astype(np.uint64) << np.uint64(32) | np.arange(len(drawn), dtype=np.uint64)
        order.sort()
        indices, places = order >> np.uint64(32), order & np.uint64(0xFFFFFFFF)
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = indices[1:] != indices[:-1]
        indices, places = indices[is_first], places[is_first]
        if len(indices) >= wanted:
            last = np.partition(places, wanted - 1)[wanted - 1]
            listed: npt.NDArray[np.int64] = indices[places <= last].astype(np.int64)
            return listed
        words *= 2

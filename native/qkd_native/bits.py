"""Strings of bits, 64 a word: how every kernel takes and gives them, from sifting to amplification.

Bit i is bit i % 64 of word i // 64, zeros stand after the last bit, and the bytes of the words are
the bits packed as they travel. Strings may be secret: whoever makes one wipes it.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

WORD_BITS = 64
Words = NDArray[np.uint64]

_EVEN_PLACES = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)

if sys.byteorder != "little":
    raise ImportError("words are read as bytes: this needs a little-endian machine")


def words_for(bits: int) -> int:
    """How many words so many bits take."""
    return -(-bits // WORD_BITS)


def wipe(words: Words) -> None:
    """Overwrites words with zeros."""
    lib.qkd_bits_wipe(ffi.from_buffer("uint64_t[]", words), words.size)


class BitString:
    """A string of size bits in a uint64 vector that it shares with whoever gave it.

    Raises ValueError for words of another number or kind, or with bits set after the last.
    """

    __slots__ = ("size", "words")

    def __init__(self, words: Words, size: int) -> None:
        if words.dtype != np.uint64 or words.shape != (words_for(size),):
            raise ValueError(f"{size} bits are a vector of {words_for(size)} 64-bit words")
        if size % WORD_BITS and int(words[-1]) >> size % WORD_BITS:
            raise ValueError("bits are set beyond the last")
        self.words = np.ascontiguousarray(words)
        self.size = size

    @classmethod
    def zeros(cls, size: int) -> "BitString":
        """So many zeros."""
        return cls(np.zeros(words_for(size), np.uint64), size)

    @classmethod
    def of(cls, bits: NDArray[np.uint8]) -> "BitString":
        """Of zeros and ones, one a byte."""
        return cls.from_bytes(np.packbits(bits, bitorder="little").data, bits.size)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, size: int) -> "BitString":
        """A copy of packed bits, bit 0 of byte 0 first, in as few bytes as hold them."""
        if len(data) != -(-size // 8):
            raise ValueError(f"{len(data)} bytes instead of {-(-size // 8)} for {size} bits")
        words = np.zeros(words_for(size), np.uint64)
        words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
        return cls(words, size)

    @classmethod
    def joined(cls, parts: "list[BitString]") -> "BitString":
        """A copy of parts in a row, all but the last of whole words."""
        if any(part.size % WORD_BITS for part in parts[:-1]):
            raise ValueError("only the last part may end within a word")
        words = np.concatenate([part.words for part in parts])
        return cls(words, sum(part.size for part in parts))

    @property
    def packed(self) -> NDArray[np.uint8]:
        """The bytes that hold the bits, where they are."""
        return self.words.view(np.uint8)[: -(-self.size // 8)]

    def to_bytes(self) -> bytes:
        """A copy of those bytes."""
        return self.packed.tobytes()

    def unpacked(self) -> NDArray[np.uint8]:
        """A copy of the bits, one a byte."""
        return np.unpackbits(self.packed, bitorder="little", count=self.size)

    def part(self, begin: int, end: int) -> "BitString":
        """Bits begin up to end, where they are; ValueError unless begin is a word's first bit."""
        if begin % WORD_BITS or not 0 <= begin <= end <= self.size:
            raise ValueError(f"bits {begin} to {end} of {self.size} are no words of their own")
        if end % WORD_BITS and end != self.size:
            raise ValueError(f"bit {end} is in the middle of a word")
        return BitString(self.words[begin // WORD_BITS : words_for(end)], end - begin)

    def copy(self, memory: Words | None = None) -> "BitString":
        """The same bits elsewhere: in as many words of memory, or in new ones."""
        words = np.empty_like(self.words) if memory is None else memory
        np.copyto(words, self.words)
        return BitString(words, self.size)

    def differing(self, other: "BitString") -> int:
        """How many bits differ; ValueError for strings of different lengths."""
        if other.size != self.size:
            raise ValueError(f"strings of {self.size} and {other.size} bits")
        count: int = lib.qkd_bits_differ(
            current(),
            ffi.from_buffer("uint64_t[]", self.words),
            ffi.from_buffer("uint64_t[]", other.words),
            self.words.size,
        )
        return count

    def woven(self, other: "BitString") -> "BitString":
        """The bits of this string and of another one by turns; ValueError if one is longer."""
        if other.size != self.size:
            raise ValueError(f"strings of {self.size} and {other.size} bits")
        words = _spread(self.words) | _spread(other.words) << np.uint64(1)
        return BitString(words[: words_for(2 * self.size)], 2 * self.size)

    def keep(self, listed: NDArray[np.int64], *, rest: bool = False) -> None:
        """Shortens the string to the bits at these indices, or to the rest of them, in place.

        Raises ValueError, the string as it was, unless the indices rise within it.
        """
        if listed.dtype != np.int64 or listed.ndim != 1:
            raise ValueError("indices are a flat int64 array")
        if lib.qkd_bits_keep(
            current(),
            ffi.from_buffer("uint64_t[]", self.words),
            self.size,
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(listed)),
            listed.size,
            not rest,
        ):
            raise ValueError(f"the indices do not rise within {self.size} bits")
        self.size = self.size - listed.size if rest else listed.size
        self.words = self.words[: words_for(self.size)]

    def wipe(self) -> None:
        """Overwrites the bits."""
        wipe(self.words)


def _spread(words: Words) -> Words:
    """Half a word's bits in the even places of a word, the low half first."""
    spread = words.view(np.uint32).astype(np.uint64)
    for shift, mask in _EVEN_PLACES:
        spread |= spread << np.uint64(shift)
        spread &= np.uint64(mask)
    return spread

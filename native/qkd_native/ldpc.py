"""Rate-adaptive quasi-cyclic LDPC codes: parities of a string, and the string from parities.

The base matrices, of 36 to 279 block rows and 512 block columns, are ours
(``native/codes/construct.py``). Two things make any length and rate of them: columns are left out
from the end, and rows are split. A code's parities are one sequence: those of its rows, and then
those of the first halves of its rows. Each half disclosed splits a check in two, since the parity
of the second half follows, and takes nothing back: a longer beginning of the sequence is the
syndrome of a stronger code.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi, lib
from qkd_native.bits import WORD_BITS, BitString, Words, wipe
from qkd_native.tier import current

COLUMNS = 512
SIZE_STEP = 128
MAX_SIZE = 512
MAX_FRAME_BITS = COLUMNS * MAX_SIZE
MAX_ITERATIONS = 1000
_FULLEST = 127
_KEPT = 64

_Shape = tuple[int, int, int]


@cache
def base_rows() -> tuple[int, ...]:
    """How many block rows the base matrices have, fewest first."""
    return tuple(sorted(_matrices()))


@dataclass(frozen=True)
class Code:
    """The code of frames of frame_bits bits, padded with zeros to whole circulants.

    Raises ValueError for more than `MAX_FRAME_BITS`, or for rows not among ``base_rows()``.
    """

    frame_bits: int
    rows: int

    def __post_init__(self) -> None:
        if not 1 <= self.frame_bits <= MAX_FRAME_BITS:
            raise ValueError(f"a frame has 1 to {MAX_FRAME_BITS} bits, not {self.frame_bits}")
        if self.rows not in base_rows():
            raise ValueError(f"no base matrix has {self.rows} rows")

    @property
    def size(self) -> int:
        """The circulants' size: so many parities are a block, the unit of disclosure."""
        return SIZE_STEP * -(-self.frame_bits // (COLUMNS * SIZE_STEP))

    @property
    def columns(self) -> int:
        """Circulants in a frame, the last one perhaps padded."""
        return -(-self.frame_bits // self.size)

    def parities(self, bits: BitString, first: int, last: int) -> BitString:
        """Blocks first to last - 1 of the sequence, which runs from 0 to 2 * rows.

        bits are at most frame_bits; a shorter frame is padded with zeros.
        """
        if not 0 <= first <= last <= 2 * self.rows:
            raise ValueError(f"blocks {first} to {last} of {2 * self.rows}")
        self._check(bits)
        found = BitString.zeros((last - first) * self.size)
        matrix = _encoder(self._shape, first, last)
        lib.qkd_ldpc_syndrome(matrix.code, _words(bits), bits.size, _words(found))
        return found

    def checks(self, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ones, as (check, bit), of the matrix whose syndrome the first blocks of parities are.

        Its rows are the halves of those that are split, in turn, and then the others.
        """
        native = _decoder(self._shape, blocks - self.rows)
        edges, row_start = native.memory
        check = np.arange(self.size)
        rows = np.repeat(np.arange(blocks), np.diff(row_start))
        places = (edges[:, 1:] + check) % self.size
        bits = edges[:, :1].astype(np.int64) * self.size + places
        return (rows[:, None] * self.size + check).reshape(-1), bits.reshape(-1)

    def syndrome(self, parities: BitString) -> BitString:
        """The first blocks of parities as the syndrome of that matrix."""
        blocks = parities.words.reshape(-1, self.size // WORD_BITS)
        whole, halves = blocks[: self.rows], blocks[self.rows :]
        split = np.stack((halves, whole[: len(halves)] ^ halves), axis=1)
        words = np.concatenate((split.reshape(-1), whole[len(halves) :].reshape(-1)))
        return BitString(words, parities.size)

    @property
    def decoder_words(self) -> int:
        """How many words of memory a decoder needs."""
        matrix = _decoder(self._shape, self.rows)
        messages = int(lib.qkd_ldpc_messages(matrix.code))
        return -(-_posterior_bytes(matrix) // 8) + -(-messages // 8)

    @property
    def _shape(self) -> "_Shape":
        return self.rows, self.columns, self.size

    def _check(self, bits: BitString) -> None:
        if not 0 < bits.size <= self.frame_bits:
            raise ValueError(f"a frame of {bits.size} bits, not 1 to {self.frame_bits}")


class Decoder:
    """Finds strings of one code in memory of code.decoder_words, by default in new.

    wipe() when no more are to be found.
    """

    def __init__(self, code: Code, memory: Words | None = None) -> None:
        if memory is None:
            memory = np.empty(code.decoder_words, np.uint64)
        if memory.dtype != np.uint64 or memory.shape != (code.decoder_words,):
            raise ValueError(f"a decoder needs {code.decoder_words} words of memory")
        self.code = code
        self._memory = memory
        posterior_bytes = _posterior_bytes(_decoder(code._shape, code.rows))
        self._posteriors = memory.view(np.int16)[: posterior_bytes // 2]
        self._messages = memory[-(-posterior_bytes // 8) :].view(np.uint8)

    def decode(
        self, bits: BitString, parities: BitString, error_rate: float, iterations: int
    ) -> int:
        """Corrects bits in place, by a beginning of the reference's sequence of parities.

        bits is a frame as in ``parities``, parities of ``rows`` blocks or more, error_rate that of
        a bit, in (0, 0.5). Returns how many iterations it took, or -1 if no string was found, bits
        then as before. The string found has the parities; that it is the reference's must be
        confirmed otherwise.
        """
        code = self.code
        blocks, rest = divmod(parities.size, code.size)
        if rest or not code.rows <= blocks <= 2 * code.rows:
            raise ValueError(f"{parities.size} parities of a code of {code.rows} rows")
        if not 0 < error_rate < 0.5 or not 0 <= iterations <= MAX_ITERATIONS:
            raise ValueError(f"an error rate of {error_rate}, {iterations} iterations")
        code._check(bits)
        matrix = _decoder(code._shape, blocks - code.rows)
        done: int = lib.qkd_ldpc_decode(
            current(),
            matrix.code,
            _words(code.syndrome(parities)),
            _words(bits),
            bits.size,
            min(max(round(6 * float(np.log(1 / error_rate - 1))), 1), _FULLEST),
            iterations,
            ffi.from_buffer("int16_t[]", self._posteriors),
            ffi.from_buffer("uint8_t[]", self._messages),
        )
        return done

    def wipe(self) -> None:
        """Clears what was worked out of strings."""
        wipe(self._memory)


@dataclass(frozen=True)
class _Matrix:
    """To be held while its code is used: of two threads that make the same, the cache keeps one."""

    code: Any
    memory: tuple[NDArray[Any], ...]
    """What code points into."""


@cache
def _matrices() -> dict[int, NDArray[np.uint16]]:
    """By number of rows: row, column and shift of each circulant, by row, then column."""
    with (files("qkd_native") / "ldpc_codes.npz").open("rb") as file, np.load(file) as loaded:
        return {
            int(name): table[np.lexsort((table[:, 1], table[:, 0]))]
            for name, table in loaded.items()
        }


def _rows(shape: _Shape) -> list[NDArray[np.uint16]]:
    """Column and shift of each circulant, by row."""
    rows, columns, size = shape
    table = _matrices()[rows]
    table = table[table[:, 1] < columns]
    table[:, 2] %= size
    return [table[table[:, 0] == row, 1:] for row in range(rows)]


@lru_cache(_KEPT)
def _encoder(shape: _Shape, first: int, last: int) -> _Matrix:
    rows = _rows(shape)
    return _native(shape, [*rows, *(row[0::2] for row in rows)][first:last])


@lru_cache(_KEPT)
def _decoder(shape: _Shape, splits: int) -> _Matrix:
    rows = _rows(shape)
    halves = [half for row in rows[:splits] for half in (row[0::2], row[1::2])]
    return _native(shape, [*halves, *rows[splits:]])


def _native(shape: _Shape, rows: list[NDArray[np.uint16]]) -> _Matrix:
    edges = np.concatenate([np.empty((0, 2), np.uint16), *rows])
    row_start = np.cumsum([0, *(len(row) for row in rows)]).astype(np.uint32)
    native = ffi.new(
        "qkd_ldpc_code *",
        {
            "rows": len(rows),
            "columns": shape[1],
            "size": shape[2],
            "row_start": ffi.from_buffer("uint32_t[]", row_start),
            "edges": ffi.from_buffer("qkd_ldpc_edge[]", edges),
        },
    )
    return _Matrix(native, (edges, row_start))


def _posterior_bytes(matrix: _Matrix) -> int:
    return 2 * int(lib.qkd_ldpc_posteriors(matrix.code))


def _words(bits: BitString) -> object:
    return ffi.from_buffer("uint64_t[]", bits.words)

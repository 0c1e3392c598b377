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
from qkd_native.tier import current

COLUMNS = 512
SIZE_STEP = 128
MAX_SIZE = 512
MAX_FRAME_BITS = COLUMNS * MAX_SIZE
MAX_ITERATIONS = 1000
_FULLEST = 127
_KEPT = 64

Bits = NDArray[np.uint8]
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

    def parities(self, bits: Bits, first: int, last: int) -> Bits:
        """Blocks first to last - 1 of the sequence, uint8, one parity a byte.

        bits is uint8, one bit a byte, at most frame_bits of them; a shorter frame is padded with
        zeros. Blocks run from 0 to 2 * rows.
        """
        if not 0 <= first <= last <= 2 * self.rows:
            raise ValueError(f"blocks {first} to {last} of {2 * self.rows}")
        found = np.empty((last - first) * self.size, np.uint8)
        whole = self._padded(bits)
        matrix = _encoder(self._shape, first, last)
        lib.qkd_ldpc_syndrome(matrix.code, _bytes(whole), _bytes(found))
        whole.fill(0)
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

    def syndrome(self, parities: Bits) -> Bits:
        """The first blocks of parities as the syndrome of that matrix."""
        blocks = parities.reshape(-1, self.size)
        whole, halves = blocks[: self.rows], blocks[self.rows :]
        split = np.stack((halves, whole[: len(halves)] ^ halves), axis=1).reshape(-1, self.size)
        return np.concatenate((split, whole[len(halves) :])).reshape(-1)

    @property
    def _shape(self) -> "_Shape":
        return self.rows, self.columns, self.size

    def _padded(self, bits: Bits) -> Bits:
        if bits.dtype != np.uint8 or bits.ndim != 1 or not 0 < bits.size <= self.frame_bits:
            raise ValueError(f"a frame must be uint8[{self.frame_bits}] or shorter")
        whole = np.zeros(self.columns * self.size, np.uint8)
        whole[: bits.size] = bits
        return whole


class Decoder:
    """Finds strings of one code. It keeps its memory: wipe() when no more are to be found."""

    def __init__(self, code: Code) -> None:
        matrix = _decoder(code._shape, 0).code
        self.code = code
        self._posteriors = np.zeros(lib.qkd_ldpc_posteriors(matrix), np.int16)
        self._messages = np.zeros(lib.qkd_ldpc_messages(matrix), np.uint8)

    def decode(self, bits: Bits, parities: Bits, error_rate: float, iterations: int) -> int:
        """Corrects bits in place, by a beginning of the reference's sequence of parities.

        bits is a frame as in ``parities``, parities uint8 of ``rows`` blocks or more, error_rate
        that of a bit, in (0, 0.5). Returns how many iterations it took, or -1 if no string was
        found, bits then as before. The string found has the parities; that it is the reference's
        must be confirmed otherwise.
        """
        code = self.code
        blocks, rest = divmod(parities.size, code.size)
        if rest or not code.rows <= blocks <= 2 * code.rows or parities.dtype != np.uint8:
            raise ValueError(f"{parities.size} parities of a code of {code.rows} rows")
        if not 0 < error_rate < 0.5 or not 0 <= iterations <= MAX_ITERATIONS:
            raise ValueError(f"an error rate of {error_rate}, {iterations} iterations")
        whole = code._padded(bits)
        done: int = lib.qkd_ldpc_decode(
            current(),
            _decoder(code._shape, blocks - code.rows).code,
            _bytes(code.syndrome(parities)),
            _bytes(whole),
            bits.size,
            min(max(round(6 * float(np.log(1 / error_rate - 1))), 1), _FULLEST),
            iterations,
            ffi.from_buffer("int16_t[]", self._posteriors),
            _bytes(self._messages),
        )
        bits[:] = whole[: bits.size]
        whole.fill(0)
        return done

    def wipe(self) -> None:
        """Clears what was worked out of strings."""
        self._posteriors.fill(0)
        self._messages.fill(0)


@dataclass(frozen=True)
class _Matrix:
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


def _bytes(array: NDArray[np.uint8]) -> object:
    return ffi.from_buffer("uint8_t[]", array)

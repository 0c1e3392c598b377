"""The common clock of two lists of detection times: the loops of a search by correlation.

Announced times b and reference times share photons where reference = b + offset + rate (b - t0).
The stages are: bin both, correlate piece by piece (`Correlator`), sum the pieces' histograms of
lags along every drift (`lines`), and histogram the lags of pairs about what was found (`plane`).
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

Times = npt.NDArray[np.int64]
Clock = tuple[int, int, float]
"""Origin and offset in ps, and rate."""
Bins = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SMOOTH = 64
"""A correlation is flattened in steps of so many lags, and has a multiple of them."""

MOST_COLUMNS: int = lib.QKD_SEARCH_COLUMNS
"""A plane of pairs has at most so many."""

_TIME_LIMIT_PS = 1 << 61
_ALIGNMENT = 64


def bin_times(times: Times, origin_ps: int, bin_ps: float, count: int) -> Bins:
    """How many of the times lie in each bin, 255 at most: bin (t - origin_ps) / bin_ps.

    Times outside the bins are ignored. times is sorted int64. Raises ValueError for other arrays,
    a negative count or bins narrower than 8 ps.
    """
    _check_times(times, origin_ps)
    if count < 0 or not bin_ps >= 8:
        raise ValueError("bins of 8 ps or more, and not fewer than none")
    bins = np.zeros(count, np.uint8)
    lib.qkd_search_bins(
        _int64(times), len(times), origin_ps, round(2**64 / bin_ps), _bytes(bins), count
    )
    return bins


def map_times(times: Times, clock: Clock) -> Times:
    """times + offset + rate (times - origin), as `map_time`.

    times is sorted int64. Raises ValueError for other arrays or |rate| >= 0.1.
    """
    origin_ps, offset_ps, rate = clock
    _check_times(times, origin_ps)
    mapped = np.empty(len(times), np.int64)
    lib.qkd_search_map(
        _int64(times),
        len(times),
        origin_ps,
        offset_ps,
        rate_q64(rate),
        ffi.from_buffer("int64_t[]", mapped),
    )
    return mapped


def map_time(time_ps: int, clock: Clock) -> int:
    """One mapped time: exact but for a last rounding, to the nearest, a half upwards."""
    origin_ps, offset_ps, rate = clock
    return time_ps + offset_ps + (((time_ps - origin_ps) * rate_q64(rate) + (1 << 63)) >> 64)


def rate_q64(rate: float) -> int:
    """A clock's rate in units of 2^-64, as the kernels take it; ValueError unless |rate| < 0.1."""
    if not abs(rate) < 0.1:
        raise ValueError("the rate is below a tenth")
    return round(rate * 2**64)


class Correlator:
    """Correlates counts by transforms of 2^log2_size bins; one thread at a time.

    Raises ValueError unless 10 <= log2_size <= 20.
    """

    def __init__(self, log2_size: int) -> None:
        if not 10 <= log2_size <= 20:
            raise ValueError("sizes are 2^10 to 2^20")
        self.size = 1 << log2_size
        self._log2_size = log2_size
        self._tables = _tables(log2_size)
        self._scratch = _aligned(lib.qkd_search_scratch(log2_size))

    def correlate(self, a: Bins, b: Bins, lags: Floats, floor: Floats) -> None:
        """lags[l] = Σ a[i] b[i + l], b being 0 beyond its end, less its smooth part.

        That part, which floor is increased by, is interpolated between the means of SMOOTH lags.
        Relative to the greatest sum, the error is some 1e-6. Every size - len(a) + 1 lags take a
        transform there and one back. Raises ValueError if the lengths are no multiple of SMOOTH or
        differ, or a is empty or longer than the size.
        """
        for counts in (a, b):
            if counts.dtype != np.uint8 or counts.ndim != 1:
                raise ValueError("counts are flat uint8 arrays")
        for values in (lags, floor):
            if values.dtype != np.float32 or values.ndim != 1 or len(values) % SMOOTH:
                raise ValueError(f"lags and floor are flat float32 arrays of {SMOOTH} n")
        if len(lags) != len(floor) or not 0 < len(a) <= self.size:
            raise ValueError("as many lags as floor; a is not empty, nor longer than the size")
        tier = current()
        lib.qkd_search_correlate(
            tier,
            _bytes(a),
            len(a),
            _bytes(b),
            len(b),
            self._log2_size,
            _floats(self._tables),
            _floats(self._scratch),
            _floats(lags),
            len(lags),
        )
        lib.qkd_search_flatten(tier, _floats(lags), len(lags), _floats(floor))


class Lines(NamedTuple):
    """For each column, the greatest sum along any line, and which slope it has."""

    sums: Floats
    slope: npt.NDArray[np.int32]


def lines(plane: Floats, columns: int, slopes: npt.NDArray[np.float64]) -> Lines:
    """The greatest sums of a plane (rows, width) along straight lines.

    The line of slope s, in columns a row, has in row r the column c + m + s (r - (rows - 1) / 2),
    to within one, where c = 0 … columns - 1 and m is half of what the plane is wider. A sum is
    that of one line, or that of two neighbours divided by √2 if it is more.

    Raises ValueError if a line could leave the plane: m is at least margin(rows, max |s|).
    """
    if plane.dtype != np.float32 or plane.ndim != 2 or not plane.size:
        raise ValueError("the plane is a float32 array of rows and columns")
    rows, width = plane.shape
    if not len(slopes) or columns < 1:
        raise ValueError("at least one slope and one column")
    if width - columns < 2 * margin(rows, float(np.abs(slopes).max())):
        raise ValueError("the margin is too narrow for the slopes")
    group = _group(rows)
    groups = -(-rows // group)
    # Short groups need few slopes of their own: those within half a column over a group.
    steepest = float(np.abs(slopes).max())
    fine_slopes = np.linspace(-steepest, steepest, 2 * math.ceil(steepest * group) + 1)
    nearest = np.abs(slopes[:, None] - fine_slopes).argmin(1).astype(np.int32)
    within = np.arange(group) - (group - 1) / 2
    middles = np.arange(groups) * group + (group - 1) / 2 - (rows - 1) / 2
    fine = np.rint(fine_slopes[:, None] * within).astype(np.int32)
    base = np.rint(slopes[:, None] * middles).astype(np.int32) + np.int32((width - columns) // 2)
    least = fine.min()
    fine -= least
    base += least
    scratch = np.empty(
        lib.qkd_search_lines_scratch(groups, len(fine_slopes), int(base.max())), np.uint8
    )
    sums = np.empty(columns, np.float32)
    slope = np.empty(columns, np.int32)
    lib.qkd_search_lines(
        current(),
        _floats(plane),
        rows,
        width,
        columns,
        group,
        _int32(base),
        _int32(nearest),
        len(slopes),
        _int32(fine),
        len(fine_slopes),
        ffi.from_buffer(scratch),
        _floats(sums),
        _int32(slope),
    )
    return Lines(sums, slope)


def margin(rows: int, steepest: float) -> int:
    """Columns that a plane of so many rows has on either side of those that lines begin in."""
    return math.ceil(steepest * (rows / 2 + _group(rows))) + 3


def plane(
    a: Times,
    b: Times,
    clock: Clock,
    begin_ps: int,
    row_ps: int,
    used_ps: int,
    low_ps: int,
    bin_log2_ps: int,
    shape: tuple[int, int],
) -> npt.NDArray[np.uint32]:
    """Histogram of the lags of all pairs, by the time of a (rows) and the lag (columns).

    clock is (origin, offset, rate): the lag is b - (a + offset + rate (a - origin)). Rows are
    row_ps long from begin_ps on, and the first used_ps of each is looked at. Columns are
    2^bin_log2_ps ps wide from low_ps on, at most MOST_COLUMNS. a and b are sorted int64 times.
    Raises ValueError for other arrays, empty shapes or rows, |rate| >= 0.1.
    """
    origin_ps, offset_ps, rate = clock
    _check_times(a, origin_ps)
    _check_times(b, origin_ps)
    rows, columns = shape
    if (
        rows < 1
        or not 1 <= used_ps <= row_ps
        or not 1 <= columns <= MOST_COLUMNS
        or not 0 <= bin_log2_ps < 40
    ):
        raise ValueError(f"some rows and bins, and 1 to {MOST_COLUMNS} columns")
    if max(abs(offset_ps), abs(low_ps), abs(begin_ps), rows * row_ps) >= _TIME_LIMIT_PS:
        raise ValueError("times are within ±2^61 ps")
    counts = np.zeros(shape, np.uint32)
    lib.qkd_search_plane(
        current(),
        _int64(a),
        len(a),
        _int64(b),
        len(b),
        origin_ps,
        offset_ps,
        rate_q64(rate),
        begin_ps,
        row_ps,
        used_ps,
        rows,
        low_ps,
        bin_log2_ps,
        columns,
        ffi.from_buffer("uint32_t[]", counts),
    )
    return counts


def _group(rows: int) -> int:
    return max(1, round(math.sqrt(rows)))


@cache
def _tables(log2_size: int) -> Floats:
    tables = _aligned(lib.qkd_search_tables_room(log2_size))
    lib.qkd_search_make_tables(log2_size, _floats(tables))
    return tables


def _aligned(count: int) -> Floats:
    room = np.empty(4 * count + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + 4 * count].view(np.float32)


def _check_times(times: Times, origin_ps: int) -> None:
    if times.dtype != np.int64 or times.ndim != 1:
        raise ValueError("times are flat int64 arrays")
    ends = (origin_ps, *((int(times[0]), int(times[-1])) if len(times) else ()))
    if max(map(abs, ends)) >= _TIME_LIMIT_PS:
        raise ValueError("times are within ±2^61 ps")


def _int64(values: Times) -> object:
    return ffi.from_buffer("int64_t[]", np.ascontiguousarray(values))


def _int32(values: npt.NDArray[np.int32]) -> object:
    return ffi.from_buffer("int32_t[]", values)


def _bytes(values: Bins) -> object:
    return ffi.from_buffer("uint8_t[]", np.ascontiguousarray(values))


def _floats(values: Floats) -> object:
    return ffi.from_buffer("float[]", values)

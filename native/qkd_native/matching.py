"""Coincidences of two sorted lists of detection times."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.search import Clock, rate_q64
from qkd_native.tier import current

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint32]

SAME_CLOCK: Clock = (0, 0, 0.0)

_TIME_LIMIT_PS = 1 << 61
_WIDEST_RESIDUALS_PS = 1 << 24


class Matches(NamedTuple):
    """Indices of the pairs, int64 and increasing, and how many candidates were ambiguous."""

    ia: npt.NDArray[np.int64]
    ib: npt.NDArray[np.int64]
    ambiguous: int


class SlicePairs(NamedTuple):
    """The pairs that a slice keeps."""

    indices: npt.NDArray[np.int64]
    """Of the b's, one a pair, counted from where first_b says."""
    codes: Codes
    """Of the a's, one a pair; an array of its own, raw key."""
    residuals: Counts
    """How many of the pairs are a - b = -window_ps ... window_ps apart."""


class SliceMatcher:
    """Matches slice after slice within a window, in memory that it keeps.

    Touching new memory costs as much as matching: of what it returns, all but the codes are views,
    good until the next slice. Raises ValueError unless the window is 0 to 2^24 ps.
    """

    def __init__(self, window_ps: int) -> None:
        if not 0 <= window_ps <= _WIDEST_RESIDUALS_PS:
            raise ValueError("the window of slices is 0 to 2^24 ps")
        self._window_ps = window_ps
        self._indices = np.empty(0, np.int64)
        self._codes: Codes = np.empty(0, np.uint8)
        self._residuals = np.empty(2 * window_ps + 1, np.uint32)

    def match(
        self,
        a: Times,
        codes: Codes,
        b: Times,
        clock: Clock,
        low_ps: int,
        high_ps: int,
        first_b: int = 0,
        least_b: int = 0,
    ) -> SlicePairs:
        """Of the pairs that the function `match` finds, those with low_ps <= a < high_ps.

        b's are counted from first_b on; pairs of those below least_b are left out. codes are those
        of the a's, uint8. Raises ValueError as `match`, and for codes of another form.
        """
        of_clock = _checked(a, b, clock, self._window_ps)
        if codes.dtype != np.uint8 or codes.shape != a.shape:
            raise ValueError("codes are uint8, one of each a")
        most = min(len(a), len(b)) + lib.QKD_MATCH_SPARE
        if len(self._indices) < most:
            self._indices = np.empty(most + most // 4, np.int64)
            self._codes = np.zeros(most + most // 4, np.uint8)
        count = lib.qkd_match_slice(
            current(),
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(a)),
            ffi.from_buffer("uint8_t[]", np.ascontiguousarray(codes)),
            len(a),
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(b)),
            len(b),
            *of_clock,
            self._window_ps,
            low_ps,
            high_ps,
            first_b,
            least_b,
            ffi.from_buffer("int64_t[]", self._indices),
            ffi.from_buffer("uint8_t[]", self._codes),
            ffi.from_buffer("uint32_t[]", self._residuals),
        )
        kept = self._codes[:count].copy()
        self._codes[: count + lib.QKD_MATCH_SPARE] = 0
        return SlicePairs(self._indices[:count], kept, self._residuals)


def match(a: Times, b: Times, window_ps: int, clock: Clock = SAME_CLOCK) -> Matches:
    """Pairs at most window_ps apart of which each is the other's only partner within the window.

    a and b are sorted int64 times in ps. The b's are mapped by the clock (origin, offset, rate) as
    `search.map_time` does. ambiguous counts the a's that have a partner and no pair. Raises
    ValueError for other arrays, a negative window, or a clock that `search` would not take.
    """
    capacity = min(len(a), len(b)) + lib.QKD_MATCH_SPARE
    ia, ib = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    count, ambiguous = _match(
        a, b, window_ps, clock, ffi.from_buffer("int64_t[]", ia), ffi.from_buffer("int64_t[]", ib)
    )
    return Matches(ia[:count], ib[:count], ambiguous)


def count_coincidences(a: Times, b: Times, window_ps: int, clock: Clock = SAME_CLOCK) -> int:
    """How many pairs match would find: the accidentals, where the clock's offset is far off."""
    return _match(a, b, window_ps, clock, ffi.NULL, ffi.NULL)[0]


def _match(
    a: Times, b: Times, window_ps: int, clock: Clock, ia: object, ib: object
) -> tuple[int, int]:
    of_clock = _checked(a, b, clock, window_ps)
    ambiguous = ffi.new("uint64_t *")
    count = lib.qkd_match(
        current(),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(a)),
        len(a),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(b)),
        len(b),
        *of_clock,
        window_ps,
        ia,
        ib,
        ambiguous,
    )
    return int(count), int(ambiguous[0])


def _checked(a: Times, b: Times, clock: Clock, window_ps: int) -> tuple[int, int, int]:
    """The clock's terms, as the kernels take them."""
    for times in (a, b):
        if times.dtype != np.int64 or times.ndim != 1:
            raise ValueError("times are flat int64 arrays")
        # Sorted, so the ends bound them all and no difference can overflow.
        if len(times) and not -_TIME_LIMIT_PS < times[0] <= times[-1] < _TIME_LIMIT_PS:
            raise ValueError("times are sorted and within ±2^61 ps")
    if not 0 <= window_ps < _TIME_LIMIT_PS:
        raise ValueError("the window must not be negative")
    origin_ps, offset_ps, rate = clock
    if max(abs(origin_ps), abs(offset_ps)) >= _TIME_LIMIT_PS:
        raise ValueError("the clock's times are within ±2^61 ps")
    return origin_ps, offset_ps, rate_q64(rate)

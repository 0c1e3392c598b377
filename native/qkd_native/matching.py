"""Coincidences of two sorted lists of detection times."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
_TIME_LIMIT_PS = 1 << 61


class Matches(NamedTuple):
    """Indices of the pairs, int64 and increasing, and how many candidates were ambiguous."""

    ia: npt.NDArray[np.int64]
    ib: npt.NDArray[np.int64]
    ambiguous: int


class Inside(NamedTuple):
    """The pairs that a slice keeps, one entry a pair."""

    indices: npt.NDArray[np.int64]
    """Of the b's, counted from where first_b says."""
    codes: Codes
    """Of the a's; an array of its own, raw key."""
    residuals_ps: Times
    """a - b."""


class PairRoom:
    """Memory for pairs, kept from slice to slice: touching new memory costs as much as matching.

    Results are views into it, good until the next call but one of another kind: those of `match`
    until `inside`, those of `inside` until the next `match`.
    """

    def __init__(self) -> None:
        self._ia = self._ib = self._residuals = np.empty(0, np.int64)

    def match(self, a: Times, b: Times, window_ps: int) -> Matches:
        """As the function `match`."""
        _check(a, b, window_ps)
        capacity = min(len(a), len(b))
        if len(self._ia) < capacity:
            self._ia, self._ib, self._residuals = (
                np.empty(capacity + capacity // 4, np.int64) for _ in range(3)
            )
        ia, ib = (ffi.from_buffer("int64_t[]", room) for room in (self._ia, self._ib))
        count, ambiguous = _match(a, b, 0, window_ps, ia, ib)
        return Matches(self._ia[:count], self._ib[:count], ambiguous)

    def inside(
        self,
        a: Times,
        codes: Codes,
        b: Times,
        found: Matches,
        low_ps: int,
        high_ps: int,
        first_b: int = 0,
        least_b: int = 0,
    ) -> Inside:
        """Of what `match` has just found in a and b: the pairs with low_ps <= a < high_ps.

        b's are counted from first_b on; pairs of those below least_b are left out. codes are those
        of the a's, uint8. Raises ValueError for codes of another form, or for older results.
        """
        count = len(found.ia)
        if codes.dtype != np.uint8 or codes.shape != a.shape:
            raise ValueError("codes are uint8, one of each a")
        if count and not (found.ia.base is self._ia and found.ib.base is self._ib):
            raise ValueError("these pairs are not of the last match here")
        kept = np.empty(count, np.uint8)
        inside = lib.qkd_match_inside(
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(a)),
            ffi.from_buffer("uint8_t[]", np.ascontiguousarray(codes)),
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(b)),
            ffi.from_buffer("int64_t[]", self._ia),
            ffi.from_buffer("int64_t[]", self._ib),
            count,
            low_ps,
            high_ps,
            first_b,
            least_b,
            ffi.from_buffer("uint8_t[]", kept),
            ffi.from_buffer("int64_t[]", self._residuals),
        )
        kept[inside:] = 0
        # The memory that was not needed goes back without a copy; nobody else knows this array.
        kept.resize(inside, refcheck=False)
        return Inside(self._ib[:inside], kept, self._residuals[:inside])


def match(a: Times, b: Times, window_ps: int) -> Matches:
    """Pairs at most window_ps apart of which each is the other's only partner within the window.

    a and b are sorted int64 times in ps. ambiguous counts the a's that have a partner and no pair.
    Raises ValueError for other arrays or a negative window.
    """
    return PairRoom().match(a, b, window_ps)


def count_coincidences(a: Times, b: Times, shift_ps: int, window_ps: int) -> int:
    """How many pairs match would find with b moved by shift_ps: the accidentals, if moved far."""
    _check(a, b, window_ps)
    if abs(shift_ps) >= _TIME_LIMIT_PS:
        raise ValueError("the shift is too large")
    return _match(a, b, shift_ps, window_ps, ffi.NULL, ffi.NULL)[0]


def pair_differences(
    a: Times, b: Times, low_ps: int, high_ps: int, capacity: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs with b - a in [low_ps, high_ps): (index into a, difference in ps).

    Ordered by a, then b; only the first capacity of them. a and b are sorted int64 times in ps.
    """
    _check(a, b, 0)
    if high_ps < low_ps or capacity < 0 or max(abs(low_ps), abs(high_ps)) >= _TIME_LIMIT_PS:
        raise ValueError("differences run from low to high, and capacity is not negative")
    ia = np.empty(capacity, np.int64)
    differences = np.empty(capacity, np.int64)
    count = lib.qkd_pair_differences(
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(a)),
        len(a),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(b)),
        len(b),
        low_ps,
        high_ps,
        ffi.from_buffer("int64_t[]", ia),
        ffi.from_buffer("int64_t[]", differences),
        capacity,
    )
    return ia[:count].copy(), differences[:count].copy()


def _match(
    a: Times, b: Times, shift_ps: int, window_ps: int, ia: object, ib: object
) -> tuple[int, int]:
    ambiguous = ffi.new("uint64_t *")
    count = lib.qkd_match(
        current(),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(a)),
        len(a),
        ffi.from_buffer("int64_t[]", np.ascontiguousarray(b)),
        len(b),
        shift_ps,
        window_ps,
        ia,
        ib,
        ambiguous,
    )
    return int(count), int(ambiguous[0])


def _check(a: Times, b: Times, window_ps: int) -> None:
    for times in (a, b):
        if times.dtype != np.int64 or times.ndim != 1:
            raise ValueError("times are flat int64 arrays")
        # Sorted, so the ends bound them all and no difference can overflow.
        if len(times) and not -_TIME_LIMIT_PS < times[0] <= times[-1] < _TIME_LIMIT_PS:
            raise ValueError("times are sorted and within ±2^61 ps")
    if not 0 <= window_ps < _TIME_LIMIT_PS:
        raise ValueError("the window must not be negative")

"""One slice's own events against the announced ones: which pairs it has, and what they show."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.stream import EventStream
from qkd_controller.config.link import Timing
from qkd_controller.distillation.clock import ClockModel
from qkd_native.matching import Inside, PairRoom, count_coincidences

Times = npt.NDArray[np.int64]

_SAMPLE = 1 << 16
"""Events of a slice, from its beginning, that accidentals are counted in."""


class SliceMatch(NamedTuple):
    """A slice's pairs, in order, and what was counted around them."""

    pairs: Inside
    """Announced events by their index in the epoch, own codes, residuals in ps."""
    middle_ps: int
    """Announced time of the middle pair; 0 if there is none."""
    reference_events: int
    announced_events: int
    accidentals: float


class SliceMatcher:
    """Matches slice after slice, in memory that it keeps: what it returns is good until the next.

    Only the codes are an array of their own, raw key for the caller to wipe.
    """

    def __init__(self, timing: Timing) -> None:
        self._window_ps = timing.coincidence_window_ps
        # Far enough not to see the true pairs nor the gap that the dead time leaves around them.
        self._shift_ps = 2 * timing.dead_time_ps + 4 * self._window_ps
        self._mapped: Times = np.empty(0, np.int64)
        self._room = PairRoom()

    def match(
        self,
        own: EventStream,
        peer: EventStream,
        model: ClockModel,
        low_ps: int,
        high_ps: int,
        least_index: int,
    ) -> SliceMatch:
        """The slice [low_ps, high_ps) of own time, under this clock of the peer's.

        Neighbours beyond the slice count against ambiguity, but belong to the next slice; so do not
        announced events below least_index.
        """
        window = self._window_ps
        mine = own.between(low_ps - 2 * window, high_ps + 2 * window)
        theirs = peer.between(
            model.to_announced_ps(low_ps - 3 * window), model.to_announced_ps(high_ps + 3 * window)
        )
        if len(self._mapped) < len(theirs.times):
            self._mapped = np.empty(len(theirs.times) * 5 // 4, np.int64)
        mapped = model.to_reference(theirs.times, self._mapped[: len(theirs.times)])
        found = self._room.match(mine.times, mapped, window)
        pairs = self._room.inside(
            mine.times,
            mine.codes,
            mapped,
            found,
            low_ps,
            high_ps,
            theirs.first_index,
            least_index,
        )
        count = len(pairs.indices)
        middle = int(pairs.indices[count // 2]) - theirs.first_index if count else None
        return SliceMatch(
            pairs,
            0 if middle is None else int(theirs.times[middle]),
            _between(mine.times, low_ps, high_ps),
            _between(mapped, low_ps, high_ps),
            self._accidentals(mine.times, mapped),
        )

    def _accidentals(self, mine: Times, mapped: Times) -> float:
        """Pairs by chance, estimated where there can be no others: at shifts both ways."""
        sample = mine[:_SAMPLE]
        if not len(sample):
            return 0.0
        reach = self._shift_ps + self._window_ps
        others = mapped[: int(np.searchsorted(mapped, int(sample[-1]) + reach, "right"))]
        counted = sum(
            count_coincidences(sample, others, shift, self._window_ps)
            for shift in (self._shift_ps, -self._shift_ps)
        )
        return 0.5 * counted * len(mine) / len(sample)


def _between(times: Times, low_ps: int, high_ps: int) -> int:
    low, high = np.searchsorted(times, (low_ps, high_ps))
    return int(high - low)

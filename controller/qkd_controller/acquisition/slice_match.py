"""One slice's own events against the announced ones: which pairs it has, and what they show."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.stream import Events, EventStream
from qkd_controller.config.link import Timing
from qkd_controller.distillation.clock import ClockModel
from qkd_native import matching
from qkd_native.matching import SlicePairs, count_coincidences

Times = npt.NDArray[np.int64]

_SAMPLE = 1 << 16
"""Events of a slice, from its beginning, that accidentals are counted in."""


class SliceMatch(NamedTuple):
    """A slice's pairs, in order, and what was counted around them."""

    pairs: SlicePairs
    """Announced events by their index in the epoch, own codes, residuals."""
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
        self._matcher = matching.SliceMatcher(self._window_ps)

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
        theirs = _announced(peer, model, low_ps - 3 * window, high_ps + 3 * window)
        pairs = self._matcher.match(
            mine.times,
            mine.codes,
            theirs.times,
            model.terms,
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
            len(own.between(low_ps, high_ps).times),
            len(_announced(peer, model, low_ps, high_ps).times),
            self._accidentals(mine.times, peer, model),
        )

    def _accidentals(self, mine: Times, peer: EventStream, model: ClockModel) -> float:
        """Pairs by chance, estimated where there can be no others: at shifts both ways."""
        sample = mine[:_SAMPLE]
        if not len(sample):
            return 0.0
        reach = self._shift_ps + 2 * self._window_ps
        theirs = _announced(peer, model, int(sample[0]) - reach, int(sample[-1]) + reach).times
        counted = sum(
            count_coincidences(sample, theirs, self._window_ps, model.moved(shift, 0.0).terms)
            for shift in (self._shift_ps, -self._shift_ps)
        )
        return 0.5 * counted * len(mine) / len(sample)


def _announced(peer: EventStream, model: ClockModel, low_ps: int, high_ps: int) -> Events:
    """The announced events between two times of this end."""
    return peer.between(model.to_announced_ps(low_ps), model.to_announced_ps(high_ps))

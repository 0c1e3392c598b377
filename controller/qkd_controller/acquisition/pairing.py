"""Where a slice of the reference end lies in the runs of the announcing end."""

from dataclasses import dataclass

from qkd_controller.acquisition.stream import EventStream
from qkd_controller.config.link import Timing
from qkd_controller.distillation.clock import ClockFit
from qkd_controller.distillation.synchronise import find_clock
from qkd_controller.distillation.tracking import ClockTracker

_RESYNCHRONISE_SPAN_PS = 200_000_000_000
_LEAST_SPAN_PS = 50_000_000_000
_LONGEST_PAUSE_SPANS = 8
_PS_A_NS = 1000


@dataclass(frozen=True)
class Covered:
    """The announced run covers the slice, under a clock that is being followed."""


@dataclass(frozen=True)
class Wait:
    """What decides has not arrived yet."""


@dataclass(frozen=True)
class Passed:
    """The announced run was over before the slice."""


@dataclass(frozen=True)
class Search:
    """The clocks of the two runs are not known yet, and there is enough data to look for them."""


@dataclass(frozen=True)
class Lost:
    """The slice cannot be matched."""

    cause: str


Place = Covered | Wait | Passed | Search | Lost


class RunPair:
    """One run of each end: the search for their common clock, and the clock once it is found."""

    def __init__(self, timing: Timing, own: EventStream, peer: EventStream) -> None:
        self.own = own
        self.peer = peer
        self.tracker: ClockTracker | None = None
        self._timing = timing
        self._slice_ps = timing.slice_ms * 1_000_000_000
        self._reach_ps = timing.max_offset_ms * 1_000_000_000
        self._nominal_ps = own.first_ps - peer.first_ps + (peer.utc_ns - own.utc_ns) * _PS_A_NS
        self._search_from_ps = peer.first_ps
        self._barren_until_ps: int | None = None
        self._failures = 0
        self._short_failed = False
        self._hopeless = False
        self._fit: ClockFit | None = None

    def place(self, low_ps: int, high_ps: int, rate: float | None) -> Place:
        """Where the slice [low_ps, high_ps) of the own run lies in the peer's run.

        rate is the rate of the last clock found, if any.
        """
        if self.tracker is not None:
            return self._place_by_clock(low_ps, high_ps)
        peer, reach = self.peer, self._reach_ps
        if high_ps <= peer.complete_from_ps + self._nominal_ps - reach:
            return Lost("the peer had no run")
        if peer.end_ps is not None:
            if low_ps >= peer.end_ps + self._nominal_ps + reach:
                return Passed()
            if not peer.clean:
                return Lost("the peer's run is unsafe")
        if self._barren_until_ps is not None and high_ps <= self._barren_until_ps:
            return Lost("no clock found")
        if self._hopeless:
            return Lost("no clock found")
        _, end = self._search_range(low_ps, rate)
        if not peer.ended and peer.complete_until_ps < end:
            return Wait()
        if not self.own.ended and self.own.complete_until_ps < end + self._nominal_ps + reach:
            return Wait()
        return Search()

    def search(self, low_ps: int, rate: float | None) -> ClockFit | None:
        """Looks for the clock in data from the slice at low_ps on; may take half a second.

        With a rate known, a short search comes first, and a full one only after it has failed. A
        window in which the full search fails is given up, and after some failures in a row the
        search pauses, longer each time.
        """
        begin, end = self._search_range(low_ps, rate)
        if self.peer.end_ps is not None:
            end = min(end, self.peer.end_ps)
        if self.own.end_ps is not None:
            end = min(end, self.own.end_ps - self._nominal_ps + self._reach_ps)
        if end - begin < _LEAST_SPAN_PS:
            self._hopeless = True
            return None
        low = begin + self._nominal_ps - self._reach_ps
        high = end + self._nominal_ps + self._reach_ps
        short = rate is not None and not self._short_failed
        fit = find_clock(
            self.own.between(low, high).times,
            self.peer.between(begin, end).times,
            self._nominal_ps,
            self._reach_ps,
            self._timing.max_drift_ppm,
            self._timing.coincidence_window_ps,
            rate if short else None,
        )
        if fit is not None:
            self._fit = fit
            self.tracker = ClockTracker(fit, self._slice_ps)
            self._failures = 0
            self._short_failed = False
        elif short:
            self._short_failed = True
        else:
            self._short_failed = False
            self._failures += 1
            pause = min(2 ** max(0, self._failures - 3) - 1, _LONGEST_PAUSE_SPANS)
            self._search_from_ps = end + pause * (end - begin)
            self._barren_until_ps = self._search_from_ps + self._nominal_ps - self._reach_ps
        return fit

    def lose(self, low_ps: int, high_ps: int) -> bool:
        """Coincidences have vanished in this slice; returns whether the clock is given up.

        Within the span that the clock was found in, single slices may be empty.
        """
        assert self.tracker is not None and self._fit is not None
        model = self.tracker.model
        fit_end = self._fit.model.t0_ps + self._fit.span_ps // 2
        if model.to_announced_ps(high_ps) < fit_end:
            return False
        self.tracker = None
        self._search_from_ps = model.to_announced_ps(high_ps)
        return True

    def passed_ps(self, low_ps: int) -> int:
        """Peer time before which nothing can lie at or after own time low_ps."""
        if self.tracker is not None:
            return self.tracker.model.to_announced_ps(low_ps)
        return low_ps - self._nominal_ps - self._reach_ps

    def _place_by_clock(self, low_ps: int, high_ps: int) -> Place:
        assert self.tracker is not None
        margin = 3 * self._timing.coincidence_window_ps
        begin = self.tracker.model.to_announced_ps(low_ps)
        end = self.tracker.model.to_announced_ps(high_ps)
        if self.peer.end_ps is not None and begin >= self.peer.end_ps:
            return Passed()
        if begin < self.peer.complete_from_ps - self._gap_ps():
            return Lost("the peer's run had not begun")
        if self.peer.end_ps is None:
            return Covered() if self.peer.complete_until_ps >= end + margin else Wait()
        if end > self.peer.end_ps:
            return Lost("the peer's run ended within the slice")
        return Covered() if self.peer.clean else Lost("the peer's run is unsafe")

    def _gap_ps(self) -> int:
        """How far what has been dropped reaches into a slice by design: the margin of matching."""
        return 4 * self._timing.coincidence_window_ps

    def _search_range(self, low_ps: int, rate: float | None) -> tuple[int, int]:
        span = self._timing.search_span_ms * 1_000_000_000
        if rate is not None and not self._short_failed:
            span = min(span, _RESYNCHRONISE_SPAN_PS)
        elif self._failures % 2:
            span *= 2  # every other time twice as sensitive, at twice the price
        begin = max(
            self._search_from_ps,
            self.peer.complete_from_ps,
            max(self.own.first_ps, low_ps) - self._nominal_ps,
        )
        return begin, begin + span

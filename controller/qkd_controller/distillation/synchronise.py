"""The two ends' common clock, found from the photons alone.

Both streams are binned; the announced one is cut into pieces so short that the drift smears a
coincidence over less than a bin, and each piece's histogram of lags comes from an FFT. Their sums
along every drift are the histograms that a corrected clock would have given, and the best cells
are narrowed by the lags of single pairs (`narrowing`). A glance at a fraction of the data comes
first: bright light needs no more. Compare Ho, Lamas-Linares, Kurtsiefer, New J. Phys. 11, 045011
(2009), who correlate twice, and the sums along drifts of a pulsar search, Taylor, Astron.
Astrophys. Suppl. 15, 367 (1974).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qkd_controller.distillation.clock import ClockFit, ClockModel, Times
from qkd_controller.distillation.narrowing import Line, Narrowing
from qkd_native import search

_KNOWN_RATE_TOLERANCE = 2e-7

_GLANCE_PS = 80_000_000_000
_LOOK_PS = 1_000_000_000_000
_GLANCE_SIGMA = 6.0
_LEAST_SIGMA = 3.5
_MOST_CELLS = 28e6
"""Cells (piece, lag) of the histograms of a search: its sensitivity, time and memory."""
_FINEST_BIN_PS = 400_000
_SMEAR_BINS = 0.75
_DRIFT_BINS = 2.0
_MOST_PAIRS = 100e6
"""Pairs that are looked at, over all candidates."""
_FEWEST_CANDIDATES, _MOST_CANDIDATES = 4, 64


def find_clock(
    reference_times: Times,
    announced_times: Times,
    nominal_offset_ps: int,
    max_offset_ps: int,
    max_drift_ppm: float,
    window_ps: int,
    known_rate: float | None = None,
) -> ClockFit | None:
    """The clock model under which the two streams coincide, or None rather than a doubtful one.

    Sorted times in ps. The offset (reference minus announced) is searched within max_offset_ps of
    the nominal one and the rate within ±max_drift_ppm, or close to known_rate, which is cheaper and
    does with less data. The reference times should reach max_offset_ps beyond the announced ones.

    A fit has at least narrowing.REQUIRED_SIGMA and shows in each half of the data alone.
    It is of the times about the middle of the overlap, of all of them unless the rate changes.
    """
    if len(announced_times) < 2 or len(reference_times) < 2:
        return None
    begin, end = int(announced_times[0]), int(announced_times[-1])
    span = end - begin
    if span <= 0:
        return None
    limit = max_drift_ppm * 1e-6
    rate_range = limit if known_rate is None else _KNOWN_RATE_TOLERANCE
    centre = ClockModel(begin + span // 2, nominal_offset_ps, known_rate or 0.0)
    hunt = _Search(
        reference_times, announced_times, centre, max_offset_ps, rate_range, 2 * limit, window_ps
    )
    for part in (_GLANCE_PS, _LOOK_PS):
        if 3 * part < span:
            fit = hunt.find(part, bright=True)
            if fit is not None:
                return fit
    return hunt.find(span + 1, bright=False)


@dataclass(frozen=True)
class _Cell:
    """A line of the coarse search."""

    line: Line
    bin_ps: int


@dataclass(frozen=True)
class _Grid:
    """How a span is cut: pieces of the announced bins, lags, and the size of a transform."""

    bin_ps: int
    piece: int
    pieces: int
    lags: int
    margin: int
    log2_size: int


@dataclass(frozen=True)
class _Search:
    """A search in two streams about a centre."""

    reference: Times
    announced: Times
    centre: ClockModel
    max_offset_ps: int
    rate_range: float
    rate_limit: float
    window_ps: int

    def find(self, span_ps: int, bright: bool) -> ClockFit | None:
        """The clock, by a coarse search of so much about the centre."""
        narrowing = Narrowing(self.reference, self.announced, self.window_ps)
        for cell in self._cells(span_ps, bright):
            line = narrowing.narrowed(cell.line, cell.bin_ps)
            if line is None or abs(line.model.rate) > self.rate_limit:
                continue
            if bright and line.span_ps < span_ps:
                continue  # it should have shown in more
            fit = narrowing.fit(line, self._trials(line))
            if fit is not None:
                return fit
        return None

    def _cells(self, span_ps: int, bright: bool) -> Iterator[_Cell]:
        """The most significant cells, best first."""
        begin = self.centre.t0_ps - span_ps // 2
        grid = self._grid(span_ps, bright)
        bin_ps = grid.bin_ps
        low, high = np.searchsorted(self.announced, (begin, begin + span_ps))
        announced = self.announced[low:high]
        length = grid.pieces * grid.piece
        origin = self.centre.to_reference_ps(begin) - grid.lags // 2 * bin_ps
        low, high = np.searchsorted(
            self.reference, (origin, origin + (length + grid.lags) * bin_ps)
        )
        reference = self.reference[low:high]
        if len(announced) < 2 or len(reference) < 2:
            return
        a = search.bin_times(announced, begin, bin_ps / (1.0 + self.centre.rate), length)
        b = search.bin_times(reference, origin, bin_ps, length + grid.lags)
        plane, floor = _correlated(a, b, grid)
        columns = grid.lags - 2 * grid.margin
        drifts = 1 + 2 * math.ceil(self.rate_range * length / _DRIFT_BINS)
        rates = np.linspace(-self.rate_range, self.rate_range, drifts)
        found = search.lines(plane, columns, rates * grid.piece)
        sigma = found.sums / np.sqrt(np.maximum(floor[grid.margin :][:columns], 1.0))
        reach_ps = 3 * bin_ps
        by_chance = len(announced) * len(reference) * reach_ps / ((length + grid.lags) * bin_ps)
        most = int(min(max(_MOST_PAIRS / by_chance, _FEWEST_CANDIDATES), _MOST_CANDIDATES))
        middle = self.centre.at(begin + length * bin_ps // 2)
        for _ in range(most):
            column = int(np.argmax(sigma))
            if sigma[column] < (_GLANCE_SIGMA if bright else _LEAST_SIGMA):
                return
            lag = (column + grid.margin - grid.lags // 2 + 0.75) * bin_ps
            model = middle.moved(lag, float(rates[found.slope[column]]))
            tilt = min(2 * _DRIFT_BINS / length, 2 * self.rate_range)
            pairs = float(found.sums[column])
            yield _Cell(Line(model, span_ps, tilt, float(sigma[column]), pairs), bin_ps)
            sigma[max(0, column - 2) : column + 3] = 0.0

    def _grid(self, span_ps: int, bright: bool) -> _Grid:
        """The finest bins that the number of cells allows, and the cheapest transforms."""
        reach = 2 * max(self.max_offset_ps, 1)
        most = _MOST_CELLS / (8 if bright else 1)
        pieces_bins = max(1.0, self.rate_range * span_ps / _SMEAR_BINS)
        bin_ps = min(max(round(math.sqrt(pieces_bins * reach / most)), _FINEST_BIN_PS), 1 << 22)
        if bright:
            bin_ps = max(bin_ps, 1 << 20)
        bins = -(-span_ps // bin_ps)
        longest = max(1, min(bins, int(_SMEAR_BINS / self.rate_range)))
        margin = search.margin(-(-bins // longest) + 1, self.rate_range * longest) + 4
        lags = reach // bin_ps + 2 + 2 * margin
        lags = -(-lags // search.SMOOTH) * search.SMOOTH
        best = (math.inf, 0, 1)
        for log2_size in range(12, 21):
            size = 1 << log2_size
            for passes in (1, 2, 4):
                room = size + 1 - -(-lags // (2 * passes * search.SMOOTH)) * search.SMOOTH
                piece = min(longest, room)
                if piece < 1:
                    continue
                cost = -(-bins // piece) * (passes * size * (log2_size + 4) + lags)
                best = min(best, (cost, log2_size, piece))
        _, log2_size, piece = best
        pieces = -(-bins // piece)
        return _Grid(bin_ps, -(-bins // pieces), pieces, lags, margin, log2_size)

    def _trials(self, line: Line) -> float:
        """How many lines over the span of this one the search could have told apart."""
        drifts = max(1.0, 2 * self.rate_range * line.span_ps / self.window_ps)
        return max(1.0, 2 * self.max_offset_ps / self.window_ps) * drifts


def _correlated(a: search.Bins, b: search.Bins, grid: _Grid) -> tuple[search.Floats, search.Floats]:
    """The histograms of lags of the pieces, less their smooth parts; and the sum of those."""
    plane = np.empty((grid.pieces, grid.lags), np.float32)
    floor = np.zeros(grid.lags, np.float32)
    correlator = search.Correlator(grid.log2_size)
    for index, row in enumerate(plane):
        start = index * grid.piece
        piece = a[start : start + grid.piece]
        correlator.correlate(piece, b[start : start + grid.piece + grid.lags], row, floor)
    return plane, floor

"""The two ends' common clock, found from the photons alone.

Both streams are binned; the announced one is cut into pieces so short that the drift smears a
coincidence over less than a bin, and each piece's histogram of lags comes from an FFT. Their sums
along every drift are the histograms that a corrected clock would have given, and the best cells
are narrowed by the lags of single pairs, down to the coincidence window. A glance at a fraction of
the data comes first: bright light needs no more. Compare Ho, Lamas-Linares, Kurtsiefer, New J.
Phys. 11, 045011 (2009), who correlate twice, and the sums along drifts of a pulsar search, Taylor,
Astron. Astrophys. Suppl. 15, 367 (1974).

A coarse cell decides nothing; a fit does, by its pairs within the window. As many lines as the
search could have told apart might have shown as many by chance, so its sigma is that of the bound
on the chance of any of them: exp(-sigma²/2) = cells exp(-significance²/2).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qkd_controller.distillation.clock import ClockFit, ClockModel, Times, significance
from qkd_native import search

REQUIRED_SIGMA = 6.0
"""A fit less significant than this is no fit: chance passes it in 1.5e-8 of the searches."""

_HALF_SIGMA = 3.0
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

_FINER_LOG2 = 3
_NARROW_SIGMA = 5.5
_CLEAR_SIGMA, _CLEAR_PAIRS = 10.0, 400.0
_FIT_PAIRS = 100_000
_WIDTHS = 5
_ROWS, _MOST_ROWS = 64, 128


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

    A fit has at least REQUIRED_SIGMA of all data together and shows in each half of them alone.
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
class _Line:
    """A model good to a bin over a span about its t0_ps, and its rate to a tilt."""

    model: ClockModel
    span_ps: int
    tilt: float
    sigma: float
    pairs: float

    def share_for(self, span_ps: int, pairs: float, sigma: float) -> float:
        """The share of a span's data that has so many pairs and is so significant."""
        more = span_ps / self.span_ps
        return min(1.0, max(pairs / (self.pairs * more), (sigma / self.sigma) ** 2 / more))


@dataclass(frozen=True)
class _Cell:
    """A line of the coarse search."""

    line: _Line
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
        for cell in self._cells(span_ps, bright):
            line = _narrowed(self.reference, self.announced, cell, self.window_ps)
            if line is None or abs(line.model.rate) > self.rate_limit:
                continue
            if bright and line.span_ps < span_ps:
                continue  # it should have shown in more
            fit = self._fit(line)
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
            yield _Cell(_Line(model, span_ps, tilt, float(sigma[column]), pairs), bin_ps)
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

    def _fit(self, line: "_Line") -> ClockFit | None:
        """The fit to a line, if no chance made it."""
        window = self.window_ps
        drifts = max(1.0, 2 * self.rate_range * line.span_ps / window)
        cells = max(1.0, 2 * self.max_offset_ps / window) * drifts
        share = line.share_for(line.span_ps, _FIT_PAIRS, 10 * _CLEAR_SIGMA)
        counts, elapsed, lags = _histogram(self.reference, self.announced, line, share, window)
        offset = rate = 0.0
        near = np.zeros(counts.shape, np.bool_)
        for width in (4, 3, 2, 1.5, 1, 1, 1):  # the line may be off by more than the window
            residuals = lags - offset - rate * elapsed[:, None]
            near = np.abs(residuals) <= width * window
            weights = np.where(near, counts, 0.0)
            pairs = float(weights.sum())
            if pairs < 8:
                return None
            by_row = weights.sum(1)
            row_mean = float((by_row * elapsed).sum()) / pairs
            spread = float((by_row * (elapsed - row_mean) ** 2).sum())
            lag_mean = float((weights * residuals).sum()) / pairs
            tilt = 0.0
            if spread > 0:
                tilt = float((weights * residuals * (elapsed - row_mean)[:, None]).sum()) / spread
            rate += tilt
            offset += lag_mean - tilt * row_mean
        outside = counts.size - int(np.count_nonzero(near))
        density = (float(counts.sum()) - pairs + 1.0) / max(1, outside)
        expected = density * int(np.count_nonzero(near))
        odd = float(weights[1::2].sum())
        sigma = _after_trials(significance(pairs, expected), cells)
        halves = min(significance(odd, expected / 2), significance(pairs - odd, expected / 2))
        if sigma < REQUIRED_SIGMA or halves < _HALF_SIGMA:
            return None
        # Accidentals are flat within the window; what they add to the variance is known.
        squares = float((weights * residuals**2).sum()) - expected * window**2 / 3
        jitter = math.sqrt(max(squares, 1.0) / max(pairs - expected, 1.0))
        model = line.model.moved(offset, rate)
        jitter = min(max(jitter, 1.0), window)
        return ClockFit(model, sigma, round(pairs / share), jitter, line.span_ps, share)


def _correlated(a: search.Bins, b: search.Bins, grid: _Grid) -> tuple[search.Floats, search.Floats]:
    """The histograms of lags of the pieces, less their smooth parts; and the sum of those."""
    plane = np.empty((grid.pieces, grid.lags), np.float32)
    floor = np.zeros(grid.lags, np.float32)
    correlator = search.Correlator(grid.log2_size)
    room = 2 * (correlator.size - grid.piece + 1) // search.SMOOTH * search.SMOOTH
    for index, row in enumerate(plane):
        start = index * grid.piece
        piece = a[start : start + grid.piece]
        for lag in range(0, grid.lags, room):
            until = min(lag + room, grid.lags)
            ahead = b[start + lag : start + until + grid.piece]
            correlator.correlate(piece, ahead, row[lag:until], floor[lag:until])
    return plane, floor


def _narrowed(reference: Times, announced: Times, cell: _Cell, window_ps: int) -> _Line | None:
    """Follows a cell to bins of about the window, and from there to as long a span as it holds.

    Each step takes just enough data to be clear.
    """
    line, width_ps = cell.line, cell.bin_ps
    error_ps = width_ps // 2  # a cell is better centred than a line along a smeared peak
    begin = max(int(announced[0]), line.model.to_announced_ps(int(reference[0])))
    end = min(int(announced[-1]), line.model.to_announced_ps(int(reference[-1])))
    whole = end - begin
    if whole <= 0:
        return None
    if line.span_ps > whole // 2:
        line = replace(
            line, model=line.model.at((begin + end) // 2), span_ps=min(line.span_ps, whole)
        )
    finest = max(0, window_ps.bit_length() - 1)
    while width_ps > 1 << finest:
        finer = max(finest, width_ps.bit_length() - 1 - _FINER_LOG2)
        gain = width_ps / (1 << finer)
        enough = max((_CLEAR_SIGMA / line.sigma) ** 2 / gain, _CLEAR_PAIRS / line.pairs)
        most = min(whole, round(_MOST_ROWS * (1 << finer) / line.tilt))
        span = min(max(round(line.span_ps * enough), 1 << finer), most)
        found = _step(reference, announced, line, span, error_ps, finer)
        while found is None and span < most and line.sigma > _CLEAR_SIGMA:
            span = min(8 * span, most)  # there may be a gap
            found = _step(reference, announced, line, span, error_ps, finer)
        if found is None:
            return None
        line, width_ps = found, 1 << finer
        error_ps = width_ps
    while line.span_ps < whole:
        span = min(4 * line.span_ps, whole)
        share = line.share_for(span, _CLEAR_PAIRS * 10, 3 * _CLEAR_SIGMA)
        longer = _step(reference, announced, line, span, error_ps, finest, share)
        if longer is None or longer.pairs < 0.4 * span / line.span_ps * line.pairs:
            break
        line = longer
    return line


def _step(
    reference: Times,
    announced: Times,
    line: _Line,
    span_ps: int,
    error_ps: int,
    bin_log2: int,
    share: float = 1.0,
) -> _Line | None:
    """The best line in finer bins over a share of another span; None if it is not significant."""
    bin_ps = 1 << bin_log2
    begin = line.model.t0_ps - span_ps // 2
    turn = line.tilt * span_ps / bin_ps  # columns by which the steepest line crosses half the rows
    rows = min(max(math.ceil(2 * turn), 8), _MOST_ROWS)
    row_ps = -(-span_ps // rows)
    steepest = line.tilt * row_ps / bin_ps
    margin = search.margin(rows, steepest)
    columns = math.ceil(_WIDTHS * error_ps / bin_ps)
    low = -((columns + 1) // 2 + margin) * bin_ps
    shape = (rows, min(columns + 2 * margin, search.MOST_COLUMNS))
    counts = _plane(reference, announced, line.model, begin, row_ps, share, low, bin_log2, shape)
    floor = float(counts.mean())
    slopes = np.linspace(-steepest, steepest, 1 + 2 * math.ceil(turn / 2))
    excess = (counts - np.float32(floor)).astype(np.float32)
    found = search.lines(excess, columns, slopes)
    column = int(np.argmax(found.sums))
    pairs = float(found.sums[column])
    sigma = pairs / math.sqrt(max(rows * floor, 1.0))
    if sigma < _NARROW_SIGMA:
        return None
    rate = float(slopes[found.slope[column]]) * bin_ps / row_ps
    lag = low + (margin + column + 0.75) * bin_ps
    tilt = min(line.tilt, 4 * bin_ps / span_ps)
    whole_sigma = sigma / math.sqrt(share)
    return _Line(line.model.moved(lag, rate), span_ps, tilt, whole_sigma, pairs / share)


def _histogram(
    reference: Times, announced: Times, line: _Line, share: float, window_ps: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Counts about a line, by time and by lag, and the middles of both."""
    bin_log2 = max(0, (window_ps // 12).bit_length() - 1)
    columns = 2 * max(1, (6 * window_ps) >> bin_log2)
    row_ps = -(-line.span_ps // _ROWS)
    begin = line.model.t0_ps - line.span_ps // 2
    low = -(columns // 2) << bin_log2
    counts = _plane(
        reference, announced, line.model, begin, row_ps, share, low, bin_log2, (_ROWS, columns)
    )
    rows = np.arange(_ROWS, dtype=np.float64)
    elapsed = begin - line.model.t0_ps + (rows + share / 2) * row_ps
    lags = low + (np.arange(columns, dtype=np.float64) + 0.5) * (1 << bin_log2) - 0.5
    return counts.astype(np.float64), elapsed, lags


def _plane(
    reference: Times,
    announced: Times,
    model: ClockModel,
    begin_ps: int,
    row_ps: int,
    share: float,
    low_ps: int,
    bin_log2: int,
    shape: tuple[int, int],
) -> npt.NDArray[np.uint32]:
    rows, columns = shape
    until_ps = begin_ps + rows * row_ps
    first, last = np.searchsorted(announced, (begin_ps, until_ps))
    high_ps = low_ps + (columns << bin_log2)
    low, high = np.searchsorted(
        reference,
        (
            model.to_reference_ps(begin_ps) + low_ps - 1,
            model.to_reference_ps(until_ps) + high_ps + 1,
        ),
    )
    return search.plane(
        announced[first:last],
        reference[low:high],
        model.terms,
        begin_ps,
        row_ps,
        max(1, round(share * row_ps)),
        low_ps,
        bin_log2,
        shape,
    )


def _after_trials(sigma: float, cells: float) -> float:
    """What is left of a significance that is the best of so many cells."""
    return math.sqrt(max(0.0, sigma**2 - 2 * math.log(cells))) if sigma > 0 else 0.0

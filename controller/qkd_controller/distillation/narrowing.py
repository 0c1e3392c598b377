"""A clock narrowed by the lags of single pairs: from the bin of a search down to the window.

A coarse cell decides nothing; a fit does, by its pairs within the window. As many lines as the
search could have told apart might have shown as many by chance, so its sigma is that of the bound
on the chance of any of them: exp(-sigma²/2) = trials exp(-significance²/2).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qkd_controller.distillation.clock import ClockFit, ClockModel, Times, significance
from qkd_native import search

REQUIRED_SIGMA = 6.0
"""A fit less significant than this is no fit: chance passes it in 1.5e-8 of the searches."""

_HALF_SIGMA = 3.0
_FINER_LOG2 = 3
_NARROW_SIGMA = 5.5
_CLEAR_SIGMA, _CLEAR_PAIRS = 10.0, 400.0
_FIT_PAIRS = 100_000
_WIDTHS = 5
_ROWS, _MOST_ROWS = 64, 128


@dataclass(frozen=True)
class Line:
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
class Narrowing:
    """Two streams of sorted times in ps, and the coincidence window."""

    reference: Times
    announced: Times
    window_ps: int

    def narrowed(self, line: Line, width_ps: int) -> Line | None:
        """Follows a line good to a width down to about the window, then to as long as it holds.

        Each step takes just enough data to be clear. None if it is lost.
        """
        reference, announced, window_ps = self.reference, self.announced, self.window_ps
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
            found = self._step(line, span, error_ps, finer)
            while found is None and span < most and line.sigma > _CLEAR_SIGMA:
                span = min(8 * span, most)  # there may be a gap
                found = self._step(line, span, error_ps, finer)
            if found is None:
                return None
            line, width_ps = found, 1 << finer
            error_ps = width_ps
        while line.span_ps < whole:
            span = min(4 * line.span_ps, whole)
            share = line.share_for(span, _CLEAR_PAIRS * 10, 3 * _CLEAR_SIGMA)
            longer = self._step(line, span, error_ps, finest, share)
            if longer is None or longer.pairs < 0.4 * span / line.span_ps * line.pairs:
                break
            line = longer
        return line

    def fit(self, line: Line, trials: float) -> ClockFit | None:
        """The fit to a line, if none of so many trials would have made it by chance.

        It has at least REQUIRED_SIGMA, and shows in each half of the data alone.
        """
        window = self.window_ps
        share = line.share_for(line.span_ps, _FIT_PAIRS, 10 * _CLEAR_SIGMA)
        counts, elapsed, lags = self._histogram(line, share)
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
        sigma = _after_trials(significance(pairs, expected), trials)
        halves = min(significance(odd, expected / 2), significance(pairs - odd, expected / 2))
        if sigma < REQUIRED_SIGMA or halves < _HALF_SIGMA:
            return None
        # Accidentals are flat within the window; what they add to the variance is known.
        squares = float((weights * residuals**2).sum()) - expected * window**2 / 3
        jitter = math.sqrt(max(squares, 1.0) / max(pairs - expected, 1.0))
        model = line.model.moved(offset, rate)
        jitter = min(max(jitter, 1.0), window)
        return ClockFit(model, sigma, round(pairs / share), jitter, line.span_ps, share)

    def _step(
        self,
        line: Line,
        span_ps: int,
        error_ps: int,
        bin_log2: int,
        share: float = 1.0,
    ) -> Line | None:
        """The best line in finer bins over a share of another span, if it is significant."""
        bin_ps = 1 << bin_log2
        begin = line.model.t0_ps - span_ps // 2
        turn = (
            line.tilt * span_ps / bin_ps
        )  # columns by which the steepest line crosses half the rows
        rows = min(max(math.ceil(2 * turn), 8), _MOST_ROWS)
        row_ps = -(-span_ps // rows)
        steepest = line.tilt * row_ps / bin_ps
        margin = search.margin(rows, steepest)
        columns = math.ceil(_WIDTHS * error_ps / bin_ps)
        low = -((columns + 1) // 2 + margin) * bin_ps
        shape = (rows, min(columns + 2 * margin, search.MOST_COLUMNS))
        counts = self._plane(line.model, begin, row_ps, share, low, bin_log2, shape)
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
        return Line(line.model.moved(lag, rate), span_ps, tilt, whole_sigma, pairs / share)

    def _histogram(
        self, line: Line, share: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Counts about a line, by time and by lag, and the middles of both."""
        window_ps = self.window_ps
        bin_log2 = max(0, (window_ps // 12).bit_length() - 1)
        columns = 2 * max(1, (6 * window_ps) >> bin_log2)
        row_ps = -(-line.span_ps // _ROWS)
        begin = line.model.t0_ps - line.span_ps // 2
        low = -(columns // 2) << bin_log2
        counts = self._plane(line.model, begin, row_ps, share, low, bin_log2, (_ROWS, columns))
        rows = np.arange(_ROWS, dtype=np.float64)
        elapsed = begin - line.model.t0_ps + (rows + share / 2) * row_ps
        lags = low + (np.arange(columns, dtype=np.float64) + 0.5) * (1 << bin_log2) - 0.5
        return counts.astype(np.float64), elapsed, lags

    def _plane(
        self,
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
        first, last = np.searchsorted(self.announced, (begin_ps, until_ps))
        high_ps = low_ps + (columns << bin_log2)
        low, high = np.searchsorted(
            self.reference,
            (
                model.to_reference_ps(begin_ps) + low_ps - 1,
                model.to_reference_ps(until_ps) + high_ps + 1,
            ),
        )
        return search.plane(
            self.announced[first:last],
            self.reference[low:high],
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

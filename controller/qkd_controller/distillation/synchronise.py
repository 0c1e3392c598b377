"""The two ends' clocks, found and followed from the photons alone.

Finding: the announced stream is cut into segments so short that the drift smears a coincidence
peak over no more than a bin; each is cross-correlated with the reference stream by FFT, and the
histograms are summed along every drift in question, which is the histogram that a corrected clock
would have given. The best cells are refined by pair differences, down to the coincidence window.
Compare Ho, Lamas-Linares, Kurtsiefer, New J. Phys. 11, 045011 (2009), who correlate twice.

Significance is that of a count n where mu was expected: sqrt(2 (n ln(n/mu) - n + mu)), the
Gaussian equivalent of the Chernoff bound on a Poisson tail, which holds for small counts too.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qkd_native.matching import pair_differences

Times = npt.NDArray[np.int64]

REQUIRED_SIGMA = 8.0
"""A clock fit less significant than this is no fit: chance passes it once in 10^14 cells."""

_HALF_SIGMA = 3.0
_CANDIDATES = 16
_SEARCH_BIN_PS = 500_000
_SEARCH_SPAN_PS = 500_000_000_000
_KNOWN_RATE_TOLERANCE = 2e-7
_WIDE_BIN_PS = 1_000_000
_BRIGHT_PARTS = 5
_LEAST_PART_PS = 50_000_000_000
_FINER = 4
_MOST_PAIRS = 2_000_000


@dataclass(frozen=True)
class ClockModel:
    """Announcing-end times b in reference time: b + offset_ps + rate * (b - t0_ps)."""

    t0_ps: int
    offset_ps: int
    rate: float

    def to_reference(self, times: Times) -> Times:
        """Reference times, exact to 1 ps over days: only the small drift passes through floats."""
        return times + (self.offset_ps + self._drift(times - self.t0_ps))

    def to_reference_ps(self, time_ps: int) -> int:
        """One reference time."""
        return time_ps + self.offset_ps + round(self.rate * (time_ps - self.t0_ps))

    def to_announced_ps(self, time_ps: int) -> int:
        """The announcing end's time at a reference time, to 1 ps."""
        shifted = time_ps - self.offset_ps - self.t0_ps
        return self.t0_ps + shifted - round(shifted * (self.rate / (1.0 + self.rate)))

    def at(self, t0_ps: int) -> "ClockModel":
        """The same model, referred to another time t0_ps of the announcing end."""
        return ClockModel(t0_ps, self.to_reference_ps(t0_ps) - t0_ps, self.rate)

    def moved(self, offset_ps: float, rate: float) -> "ClockModel":
        """The model with its offset at t0_ps and its rate changed by these."""
        return ClockModel(self.t0_ps, self.offset_ps + round(offset_ps), float(self.rate + rate))

    def _drift(self, elapsed: Times) -> Times:
        return np.rint(self.rate * elapsed.astype(np.float64)).astype(np.int64)


@dataclass(frozen=True)
class ClockFit:
    """A clock that was found, and how sure that is."""

    model: ClockModel
    sigma: float
    pairs: int
    jitter_ps: float
    """Standard deviation of the residuals of the pairs."""
    span_ps: int
    """Span of the announced times that it was found in."""

    @property
    def offset_variance_ps2(self) -> float:
        """Variance of the offset at the model's t0_ps."""
        return self.jitter_ps**2 / self.pairs

    @property
    def rate_variance(self) -> float:
        """Variance of the rate, of a line through evenly spread residuals."""
        return 12.0 * self.offset_variance_ps2 / self.span_ps**2


def significance(count: float, expected: float) -> float:
    """How far count lies above (or, negative, below) an expected Poisson mean, in σ."""
    if expected <= 0:
        return math.inf if count > 0 else 0.0
    deviance = expected - count + (count * math.log(count / expected) if count > 0 else 0.0)
    return math.copysign(math.sqrt(2.0 * max(deviance, 0.0)), count - expected)


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
    """
    if len(announced_times) < 2 or len(reference_times) < 2:
        return None
    begin, end = int(announced_times[0]), int(announced_times[-1])
    span = end - begin
    if span <= 0:
        return None
    limit = max_drift_ppm * 1e-6
    centre = ClockModel(begin + span // 2, nominal_offset_ps, known_rate or 0.0)
    bin_ps = round(_SEARCH_BIN_PS * math.sqrt(min(4.0, max(0.1, span / _SEARCH_SPAN_PS))))
    search = _Search(reference_times, window_ps, max_offset_ps, 2 * limit)
    if known_rate is not None:
        return search.find(announced_times, centre, _KNOWN_RATE_TOLERANCE, bin_ps)
    # Bright light shows in a fraction of the data; the rest sharpens what was found there.
    if span >= _BRIGHT_PARTS * _LEAST_PART_PS:
        middle = np.searchsorted(
            announced_times,
            (centre.t0_ps - span // _BRIGHT_PARTS // 2, centre.t0_ps + span // _BRIGHT_PARTS // 2),
        )
        bright = search.find(announced_times[middle[0] : middle[1]], centre, limit, _WIDE_BIN_PS)
        fit = bright and search.sharpen(announced_times, bright)
        if fit is not None:
            return fit
    return search.find(announced_times, centre, limit, bin_ps)


@dataclass(frozen=True)
class LockLoss:
    """Why a clock is no longer followed."""

    cause: str


class ClockTracker:
    """Follows a clock from the residuals of matched pairs, slice by slice.

    A Kalman filter over offset and rate; the rate takes a random walk of rate_wander a √s. Each
    slice's median residual is one measurement, so that accidentals hardly pull.
    """

    def __init__(self, fit: ClockFit, slice_ps: int, rate_wander: float = 1e-8) -> None:
        self.model = fit.model
        self.residual_rms_ps = fit.jitter_ps
        self._wander_variance = (rate_wander * 1e-6) ** 2  # (ps/ps)² per ps: (1/√s)² = 1e-12 / ps
        self._covariance = np.diag([fit.offset_variance_ps2, fit.rate_variance])
        self._expected = fit.pairs * slice_ps / fit.span_ps
        self._doubtful = (0.0, 0.0, 0.0)

    def update(self, announced_times: Times, residuals_ps: Times) -> None:
        """Takes the residuals (reference time minus mapped time) of a slice's matched pairs."""
        count = len(residuals_ps)
        if count < 3:
            return
        self._move_to(int(announced_times[count // 2]))
        median = float(np.median(residuals_ps))
        spread = 1.4826 * float(np.median(np.abs(residuals_ps - median)))
        self.residual_rms_ps = max(spread, 1.0)
        # The median of n normal deviates has variance (π/2) σ²/n; never trust it beyond 1 ps.
        noise = math.pi / 2 * self.residual_rms_ps**2 / count + 1.0
        gain = self._covariance[:, 0] / (self._covariance[0, 0] + noise)
        self.model = self.model.moved(gain[0] * median, gain[1] * median)
        self._covariance = self._covariance - np.outer(gain, self._covariance[0, :])

    def judge(self, coincidences: int, accidentals: float) -> LockLoss | None:
        """Whether coincidences have vanished: fewer than there were, no more than accidentals.

        Slices with too few counts to tell are judged together.
        """
        expected = self._expected
        counted = self._doubtful[0] + coincidences
        by_chance = self._doubtful[1] + max(accidentals, 0.5)
        hoped = self._doubtful[2] + expected
        if significance(counted, by_chance) >= _HALF_SIGMA:
            self._doubtful = (0.0, 0.0, 0.0)
            self._expected = 0.9 * expected + 0.1 * coincidences
            return None
        if hoped > by_chance and significance(counted, (hoped + by_chance) / 2) <= -_HALF_SIGMA:
            self._doubtful = (0.0, 0.0, 0.0)
            return LockLoss(
                f"coincidences vanished: {counted:.0f} where {hoped:.0f} were expected, "
                f"{by_chance:.0f} of them by chance"
            )
        self._doubtful = (counted, by_chance, hoped)
        return None

    def _move_to(self, t0_ps: int) -> None:
        elapsed = float(t0_ps - self.model.t0_ps)
        self.model = self.model.at(t0_ps)
        step = np.array([[1.0, elapsed], [0.0, 1.0]])
        q, dt = self._wander_variance, abs(elapsed)
        noise = q * np.array([[dt**3 / 3, dt * elapsed / 2], [dt * elapsed / 2, dt]])
        self._covariance = step @ self._covariance @ step.T + noise


@dataclass(frozen=True)
class _Search:
    """A search in one reference stream."""

    reference: Times
    window_ps: int
    max_offset_ps: int
    rate_limit: float

    def find(
        self, announced: Times, centre: ClockModel, rate_range: float, bin_ps: int
    ) -> ClockFit | None:
        """The clock within the offset and rate ranges about the centre."""
        if len(announced) < 2:
            return None
        span = int(announced[-1] - announced[0])
        drifts = max(1, math.ceil(2 * rate_range * span / bin_ps))
        step = 2 * rate_range / drifts
        rates = step * (np.arange(drifts, dtype=np.float64) - (drifts - 1) / 2)
        cells = _coarse(self.reference, announced, centre, rates, self.max_offset_ps, bin_ps)
        for offset, rate in cells:
            fit = self._refined(announced, centre.moved(offset, rate), bin_ps, step)
            if fit is not None:
                return fit
        return None

    def sharpen(self, announced: Times, rough: ClockFit) -> ClockFit | None:
        """The fit to all announced times, close to one to a part of them."""
        middle = (int(announced[0]) + int(announced[-1])) // 2
        step = max(10 * math.sqrt(rough.rate_variance), _KNOWN_RATE_TOLERANCE / 100)
        return self._refined(announced, rough.model.at(middle), 64 * self.window_ps, step)

    def _refined(
        self, announced: Times, model: ClockModel, bin_ps: int, step: float
    ) -> ClockFit | None:
        fit = _refine(self.reference, announced, model, bin_ps, step, self.window_ps)
        return fit if fit is not None and abs(fit.model.rate) <= self.rate_limit else None


def _coarse(
    reference: Times,
    announced: Times,
    centre: ClockModel,
    rates: npt.NDArray[np.float64],
    max_offset_ps: int,
    bin_ps: int,
) -> list[tuple[float, float]]:
    """The most significant cells (offset, rate) about the centre, best first."""
    lags = 2 * (max_offset_ps // bin_ps + 2)
    steepest = float(np.abs(rates).max())
    span = int(announced[-1] - announced[0]) + 1
    # Two bins of smear over a segment at most; enough of them to tell one drift from another.
    segments = max(8 if len(rates) > 1 else 1, math.ceil(steepest * span / bin_ps))
    length = -(-span // segments)
    mapped = centre.to_reference(announced)
    total = np.zeros((len(rates), lags), np.float32)
    floor = np.zeros(lags, np.float64)
    for segment in range(segments):
        start = int(mapped[0]) + segment * length
        histogram = _correlate(reference, mapped, start, length, lags, bin_ps)
        if histogram is None:
            continue
        smooth = _moving_average(histogram)
        floor += smooth
        histogram -= smooth
        excess = histogram.astype(np.float32)
        middle = announced[0] + segment * length + length // 2 - centre.t0_ps
        for row, shift in zip(total, np.rint(rates * (float(middle) / bin_ps)), strict=True):
            _add_shifted(row, excess, int(shift))
    total /= np.sqrt(np.maximum(floor, 1.0)).astype(np.float32)
    total[:, :-1] += total[:, 1:]  # a peak between two bins
    cells = []
    for _ in range(_CANDIDATES):
        drift, lag = divmod(int(np.argmax(total)), lags)
        if total[drift, lag] <= 0:
            break
        cells.append(((lag + 1 - lags // 2) * float(bin_ps), float(rates[drift])))
        total[:, max(0, lag - 2) : lag + 3] = 0.0
    return cells


def _correlate(
    reference: Times, mapped: Times, start: int, length: int, lags: int, bin_ps: int
) -> npt.NDArray[np.float64] | None:
    """Histogram of reference - mapped over lags bins about zero, of one segment of mapped."""
    first, last = np.searchsorted(mapped, (start, start + length))
    origin = start - lags // 2 * bin_ps
    low, high = np.searchsorted(reference, (origin, start + length + lags // 2 * bin_ps))
    if first == last or low == high:
        return None
    size = _fast_length(lags + length // bin_ps + 2)
    a = np.bincount((reference[low:high] - origin) // bin_ps, minlength=size)[:size]
    b = np.bincount((mapped[first:last] - start) // bin_ps, minlength=size)[:size]
    spectrum = np.fft.rfft(a.astype(np.float32))
    spectrum *= np.conj(np.fft.rfft(b.astype(np.float32)))
    histogram: npt.NDArray[np.float64] = np.fft.irfft(spectrum, size)[:lags].astype(np.float64)
    return histogram


def _refine(
    reference: Times,
    announced: Times,
    model: ClockModel,
    bin_ps: int,
    step: float,
    window_ps: int,
) -> ClockFit | None:
    """Narrows a cell to the window by pair differences; None where too little is left."""
    span = int(announced[-1] - announced[0])
    tilt = 2 * step
    reach = 2 * bin_ps + round(tilt * span / 2)
    index, residuals = pair_differences(
        model.to_reference(announced), reference, -reach, reach, _MOST_PAIRS
    )
    if len(residuals) < 2:
        return None
    density = len(residuals) / (2.0 * reach)  # pairs a ps, by chance
    elapsed = (announced[index] - model.t0_ps).astype(np.float64)
    left = residuals.astype(np.float64)
    offset = rate = 0.0
    width = float(bin_ps)
    while width > window_ps:
        width = max(width / _FINER, float(window_ps))
        tilts = np.arange(-tilt, tilt * 1.001, max(width / span, tilt / 64))
        offset_step, rate_step = _best_line(left, elapsed, tilts, width)
        left -= offset_step + rate_step * elapsed
        offset += offset_step
        rate += rate_step
        tilt = 2 * width / span
        near = np.abs(left) <= 4 * width
        left, elapsed, index = left[near], elapsed[near], index[near]
    for _ in range(3):
        near = np.abs(left) <= window_ps
        if np.count_nonzero(near) < 8:
            return None
        slope, intercept = np.polyfit(elapsed[near] / span, left[near], 1)
        left -= intercept + slope * elapsed / span
        offset += float(intercept)
        rate += float(slope) / span
    near = np.abs(left) <= window_ps
    pairs = int(np.count_nonzero(near))
    expected = density * 2 * window_ps
    # Halves interleaved, not early and late: the reference may cover only a part of the span.
    odd = int(np.count_nonzero(near & (index % 2 == 1)))
    sigma = significance(pairs, expected)
    halves = min(significance(odd, expected / 2), significance(pairs - odd, expected / 2))
    if sigma < REQUIRED_SIGMA or halves < _HALF_SIGMA:
        return None
    jitter = 1.4826 * float(np.median(np.abs(left[near])))
    return ClockFit(model.moved(offset, rate), sigma, pairs, max(jitter, 1.0), span)


def _best_line(
    residuals: npt.NDArray[np.float64],
    elapsed: npt.NDArray[np.float64],
    tilts: npt.NDArray[np.float64],
    width: float,
) -> tuple[float, float]:
    """Offset and rate of the fullest band, two bins of this width wide."""
    best = (-1, 0.0, 0.0)
    for tilt in tilts:
        tilted = residuals - tilt * elapsed
        lowest = float(tilted.min())
        histogram = np.bincount(((tilted - lowest) / width).astype(np.int64))
        pairs = histogram.copy()
        pairs[:-1] += histogram[1:]
        fullest = int(np.argmax(pairs))
        if pairs[fullest] > best[0]:
            best = (int(pairs[fullest]), lowest + (fullest + 1) * width, float(tilt))
    return best[1], best[2]


def _add_shifted(row: npt.NDArray[np.float32], excess: npt.NDArray[np.float32], shift: int) -> None:
    """row[k] += excess[k + shift] where both exist."""
    size = len(row)
    if abs(shift) >= size:
        return
    if shift >= 0:
        row[: size - shift] += excess[shift:]
    else:
        row[-shift:] += excess[:shift]


def _moving_average(histogram: npt.NDArray[np.float64], reach: int = 64) -> npt.NDArray[np.float64]:
    sums = np.concatenate(([0.0], np.cumsum(histogram)))
    places = np.arange(len(histogram))
    low = np.maximum(places - reach, 0)
    high = np.minimum(places + reach + 1, len(histogram))
    average: npt.NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return average


def _fast_length(least: int) -> int:
    """The smallest 2^a 3^b 5^c that is not below least."""
    best = 1 << (least - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            quotient = -(-least // three)
            best = min(best, three << max(0, (quotient - 1).bit_length()))
            three *= 3
        five *= 5
    return best

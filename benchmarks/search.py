"""The search for a clock in 10 s captures, ±100 ms and ±20 ppm, and the steps that follow it.

W1 is 10 s of 1.0 Mtags/s a side of which 0.2 M/s are pairs, jitter 200 ps rms; the dim captures
have fewer pairs. Of each the workload says how significant the peak is that the search first sees:
pairs over the root of the accidentals in a bin of about a microsecond, less what smears it. The
peers have it easier: fpfind looks for offsets within 17 ms and no frequency, and SciPy's fold gives
the offset modulo 1 ms and no frequency, so both get tags without a drift.
"""

from collections.abc import Iterator
from functools import partial
from unittest import mock

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_controller.distillation.clock import ClockFit, ClockModel
from qkd_controller.distillation.narrowing import Line, Narrowing
from qkd_controller.distillation.synchronise import find_clock
from qkd_controller.distillation.tracking import ClockTracker
from qkd_native import search
from qkd_native.matching import SliceMatcher, count_coincidences

_PS = 10**12
_SPAN_S = 10
_WINDOW_PS = 1000
_REACH_PS = _PS // 10
_FOLD_BINS, _FOLD_PS = 1 << 20, 1000
_LOG2_SIZE, _PIECE, _LAGS = 17, 35_000, 191_488
_OFFSET_PS = 3 * 10**10
_MISFIT_PS = -4 * 10**10
"""An offset that divides the peak among bins, as on average; the other hardly does."""


def cases() -> Iterator[Case]:
    for name, singles, pairs, offset_ps in (
        ("W1", 1e6, 2e5, _OFFSET_PS),
        ("20 kpairs/s of 1 Mcps (CAR 10)", 1e6, 2e4, _OFFSET_PS),
        ("5 kpairs/s of 1 Mcps (CAR 2.5)", 1e6, 5e3, _OFFSET_PS),
        ("3.3 kpairs/s of 1 Mcps (CAR 1.65)", 1e6, 3.3e3, _MISFIT_PS),
        ("no pairs, 1 Mcps", 1e6, 0.0, _OFFSET_PS),
        ("200 pairs/s of 30 kcps (CAR 111)", 3e4, 2e2, _OFFSET_PS),
    ):
        a, b = tags(singles, pairs, 11.0, offset_ps)
        peers: tuple[Peer, ...] = ()
        if name == "W1":
            easy = tags(singles, pairs, 0.0, 10**9)
            peers = (_fpfind(*easy), _fold(*easy))
        yield Case(
            "find the clock",
            f"{name}, 10 s, ±1 ns{first_peak(a, b)}",
            partial(unaided, a, b),
            peers,
            "tag",
            len(a) + len(b),
        )
    yield from _follow()
    yield _correlate()


def tags(
    singles: float, pairs: float, drift_ppm: float, offset_ps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Announced and reference times: reference = announced (1 + drift) + offset."""
    draw = np.random.default_rng(1)
    together = draw.uniform(0, _SPAN_S * _PS, round(pairs * _SPAN_S))

    def end(shared: np.ndarray, extra_ps: int) -> np.ndarray:
        span_s = _SPAN_S + 2 * extra_ps / _PS
        alone = draw.uniform(-extra_ps, _SPAN_S * _PS + extra_ps, round((singles - pairs) * span_s))
        times = np.concatenate((shared + draw.normal(0, 200, len(shared)), alone))
        return np.sort(np.rint(times).astype(np.int64))

    shifted = together * (1 + drift_ppm * 1e-6) + offset_ps
    return end(together, 0), end(shifted, _REACH_PS)


def unaided(a: np.ndarray, b: np.ndarray) -> ClockFit | None:
    """With nothing known beforehand within ±100 ms and ±20 ppm."""
    return find_clock(b, a, 0, _REACH_PS, 20.0, _WINDOW_PS)


def first_peak(a: np.ndarray, b: np.ndarray) -> str:
    """How significant the line is from which the clock is found, and of how many seconds."""
    begun: list[Line] = []
    narrowed = Narrowing.narrowed

    def watched(narrowing: Narrowing, line: Line, width_ps: int) -> Line | None:
        begun.append(line)
        return narrowed(narrowing, line, width_ps)

    with mock.patch.object(Narrowing, "narrowed", watched):
        if unaided(a, b) is None:
            return ""
    return f", peak {begun[-1].sigma:.1f} σ in {begun[-1].span_ps / _PS:.2g} s"


def _follow() -> Iterator[Case]:
    a, b = tags(1e6, 2e5, 11.0, _OFFSET_PS)
    fit = unaided(a, b)
    assert fit is not None
    model: ClockModel = fit.model
    begin = model.t0_ps
    low, high = np.searchsorted(a, (begin, begin + _PS // 10))
    theirs = a[low:high]
    ends = [model.to_reference_ps(int(time)) for time in (theirs[0], theirs[-1])]
    low, high = np.searchsorted(b, (ends[0] - 10**5, ends[1] + 10**5))
    ours = b[low:high]

    codes, matcher = np.zeros(len(ours), np.uint8), SliceMatcher(_WINDOW_PS)
    whole = (model.terms, ends[0], ends[1])
    found = matcher.match(ours, codes, theirs, *whole)
    middle_ps = int(theirs[found.indices[len(found.indices) // 2]])
    residuals = found.residuals.copy()

    def follow() -> None:
        ClockTracker(fit, _PS // 10).update(middle_ps, residuals)

    def slice_() -> None:
        tracker = ClockTracker(fit, _PS // 10)
        for shift in (10**5, -(10**5)):
            count_coincidences(ours, theirs, _WINDOW_PS, tracker.model.moved(shift, 0.0).terms)
        tracker.update(middle_ps, matcher.match(ours, codes, theirs, *whole).residuals)

    yield Case("follow the clock", "100 ms of W1, matched: the update", follow, (), "slice", 1)
    workload = "100 ms of W1: match on its clock, accidentals, update"
    count = len(theirs) + len(ours)
    yield Case(
        "follow the clock",
        workload,
        slice_,
        (),
        "tag",
        count,
        harness.read_bytes_per_s(8 * count) / 8 / 3,
        "read from cache, three times",
    )


def _correlate() -> Case:
    draw = np.random.default_rng(2)
    a = draw.poisson(1.0, _PIECE).astype(np.uint8)
    b = draw.poisson(1.0, _PIECE + _LAGS).astype(np.uint8)
    correlator = search.Correlator(_LOG2_SIZE)
    lags, floor = np.empty(_LAGS, np.float32), np.zeros(_LAGS, np.float32)
    fft, missing = harness.optional("scipy.fft")

    def scipy() -> object:
        size = fft.next_fast_len(len(b), real=True)
        spectrum = fft.rfft(b.astype(np.float32), size)
        spectrum *= np.conj(fft.rfft(a.astype(np.float32), size))
        return fft.irfft(spectrum, size)[:_LAGS]

    peer = Peer("scipy FFT, float32", scipy if fft else None, missing=missing)
    workload = f"{_PIECE} bins over {_LAGS} lags, less the smooth part"
    return Case(
        "correlate a piece",
        workload,
        lambda: correlator.correlate(a, b, lags, floor),
        (peer,),
        "lag",
        _LAGS,
        _LAGS * harness.flops_per_s() / _flops(),
        "its transforms' operations, at a matrix product's rate",
    )


def _flops() -> float:
    """Of two transforms there and one back, in as few operations as a split radix takes."""
    return 3 * 4 * _LOG2_SIZE * 2.0**_LOG2_SIZE


def _fpfind(a: np.ndarray, b: np.ndarray) -> Peer:
    module, missing = harness.optional("fpfind.fpfind")
    if module is None:
        return Peer("fpfind, 2^20 bins of 16 ns", missing=missing)
    first, second = ((times[times >= 0]) / 1000.0 for times in (a, b))

    def run() -> object:
        return module.fpfind(
            first,
            second,
            num_wraps=1,
            num_bins=1 << 20,
            resolution=16.0,
            target_resolution=1.0,
            threshold=6.0,
            max_dt=1.7e7,
            max_df=100e-6,
            df_target=1e-10,
            separation_duration=6 * 16.0 * (1 << 20),
            convergence_rate=np.sqrt(2.0),
            precompensations=[0.0],
        )

    return Peer("fpfind, 2^20 bins of 16 ns", run)


def _fold(a: np.ndarray, b: np.ndarray) -> Peer:
    fft, missing = harness.optional("scipy.fft")

    def folded(times: np.ndarray) -> np.ndarray:
        return np.bincount(times // _FOLD_PS % _FOLD_BINS, minlength=_FOLD_BINS).astype(np.float32)

    def run() -> object:
        spectrum = fft.rfft(folded(b)) * np.conj(fft.rfft(folded(a)))
        return int(np.argmax(fft.irfft(spectrum)))

    name = "scipy fold + FFT, 2^20 bins of 1 ns"
    return Peer(name, run if fft else None, missing=missing)

"""Coincidence matching on W1 and W2, beside pytimetag's correlator and NumPy's searchsorted.

W1 is 10 s of 1.0 Mtags/s a side of which 0.2 M/s are pairs, jitter 200 ps rms; W2 the same tags in
1 s. The peers' rules differ: pytimetag histograms all differences within its view, and costream
sifts as well.
"""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.matching import count_coincidences, match

_WINDOW_PS = 1000
_TAGS = 10_000_000
_PAIRS = 2_000_000
COSTREAM = 91e6
"""Tags per second of CPU time on W1d (W1 with 20 ns dead time), AMD EPYC Zen 4."""


def cases() -> Iterator[Case]:
    for name, span_s in (("W1", 10), ("W2", 1)):
        a, b = tags(span_s)
        yield Case(
            "match",
            f"{name}, ±1 ns, indices of the pairs",
            lambda a=a, b=b: match(a, b, _WINDOW_PS),
            (pytimetag(a, b), _numpy(a, b), Peer("qcrypto costream", quoted=COSTREAM)),
            "tag",
            len(a) + len(b),
            harness.read_bytes_per_s(a.nbytes + b.nbytes) / 8,
            "memory read",
        )
    a, b = tags(1)
    a, b = a[:20_000], b[:20_000]
    yield Case(
        "count coincidences",
        "20 000 + 20 000 tags of W2, ±1 ns, cache-resident",
        lambda: count_coincidences(a, b, _WINDOW_PS),
        (_numpy(a, b),),
        "tag",
        len(a) + len(b),
        harness.read_bytes_per_s(a.nbytes + b.nbytes) / 8,
        "read from cache",
    )


def tags(span_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends' detections, sorted, in ps."""
    draw = np.random.default_rng(1)
    pairs = draw.uniform(0, span_s * 1e12, _PAIRS)

    def end() -> np.ndarray:
        single = draw.uniform(0, span_s * 1e12, _TAGS - _PAIRS)
        times = np.concatenate((pairs + draw.normal(0, 200, _PAIRS), single))
        return np.sort(times.astype(np.int64))

    return end(), end()


def searchsorted(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same pairs by NumPy: each the other's only partner."""
    low = np.searchsorted(b, a - _WINDOW_PS)
    high = np.searchsorted(b, a + _WINDOW_PS, side="right")
    ia = np.flatnonzero(high - low == 1)
    ib = low[ia]
    back = np.searchsorted(a, b[ib] + _WINDOW_PS, side="right")
    alone = back - np.searchsorted(a, b[ib] - _WINDOW_PS) == 1
    return ia[alone], ib[alone]


def pytimetag(a: np.ndarray, b: np.ndarray, name: str = "pytimetag") -> Peer:
    """Its histogram of the differences, which needs the same pairs."""
    module, missing = harness.optional("pytimetag.analysers.HistogramAnalyser")
    if module is None:
        return Peer(name, missing=missing)
    histogram = module.analysisOneListJIT
    return Peer(name, lambda: histogram(a, b, -_WINDOW_PS, _WINDOW_PS, 1, 1))


def _numpy(a: np.ndarray, b: np.ndarray) -> Peer:
    return Peer("NumPy searchsorted", lambda: searchsorted(a, b))

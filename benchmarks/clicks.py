"""Clicks to events: delays, order, multi-clicks and the common dead time, beside NumPy's sort."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.clicks import EventResolver

_COUNT = 1 << 15
_WINDOW_PS = 1000
_DEAD_TIME_PS = 20_000
_DELAYS_PS = {1: 0, 2: 350, 3: -120, 4: 900}
_CODES = {1: 0, 2: 1, 3: 2, 4: 3}


def cases() -> Iterator[Case]:
    for name, swath_ps in (("in order", 0), ("each channel ahead by up to 10 µs", 10_000_000)):
        times, channels = clicks(1e6, swath_ps)
        yield _case(
            f"{_COUNT} clicks a feed, 1 MHz on 4 channels, {name}", times, channels, swath_ps
        )
    times, channels = clicks(10e6, 0)
    yield _case(f"{_COUNT} clicks a feed, 10 MHz on 4 channels, in order", times, channels, 0)


def clicks(rate_hz: float, swath_ps: int) -> tuple[np.ndarray, np.ndarray]:
    """Four channels merged by time, or as a tagger does that empties one channel after the other
    every swath."""
    draw = np.random.default_rng(1)
    times = np.cumsum(draw.exponential(1e12 / rate_hz, _COUNT)).astype(np.int64)
    channels = draw.integers(1, 5, _COUNT, dtype=np.uint8)
    if swath_ps:
        order = np.lexsort((times, channels, times // swath_ps))
        times, channels = times[order], channels[order]
    return times, channels


def _case(workload: str, times: np.ndarray, channels: np.ndarray, swath_ps: int) -> Case:
    delays = np.zeros(256, np.int64)
    delays[list(_DELAYS_PS)] = list(_DELAYS_PS.values())
    codes = np.zeros(256, np.uint8)
    codes[list(_CODES)] = list(_CODES.values())

    resolver = EventResolver(_WINDOW_PS, _DEAD_TIME_PS, _DELAYS_PS, _CODES, 2 * swath_ps + 5000)
    events = np.empty(resolver.room(len(times)), np.int64), np.empty(len(times) + 1, np.uint8)

    def ours() -> object:
        return resolver.feed(times, channels, *events), resolver.flush(*events)

    def numpy() -> object:
        """Order and dead time; clicks of one event are not joined."""
        corrected = times - delays[channels]
        order = np.argsort(corrected, kind="stable")
        corrected = corrected[order]
        alive = np.diff(corrected, prepend=-_DEAD_TIME_PS) >= _DEAD_TIME_PS
        return corrected[alive], codes[channels[order]][alive]

    peers = (Peer("NumPy sort", numpy),)
    # Times and channels, or codes, once in and once out.
    limit = harness.copies_per_s(_COUNT, 9 + 9)
    return Case(
        "clicks to events", workload, ours, peers, "click", len(times), limit, "as bytes copied"
    )

"""Simulated clicks of both ends, tick by tick, on drifting clocks: ours beside NumPy.

Pairs, loss, analysers, dark counts, dead time, afterpulses, jitter and clock drift. NumPy does the
same by whole arrays, more coarsely: one round of afterpulses, and a dead time that only looks at
the click before.
"""

from collections.abc import Callable, Iterator

import numpy as np
from benchmarks.harness import Case, Peer, write_bytes_per_s

from qkd_native.photons import PhotonSource, PhotonTable, on_clock
from qkd_native.tier import Tier, forced, supported

TICK_PS = 10**10
TICKS = 10
TAG_BYTES = 9
RATE_ERROR = 3e-6


def cases() -> Iterator[Case]:
    """A bright source and one of 2 Mpairs/s."""
    for rate_hz in (2e7, 2e6):
        table = _table(rate_hz)
        for tier in supported():
            ours = _ours(table, tier)
            tags = ours()
            numpy = _numpy(table)
            yield Case(
                f"photons, {tier.name.lower()}",
                f"{rate_hz / 1e6:g} M pairs/s, 24 % of each arm's detected, 10 ms ticks",
                ours,
                (Peer("NumPy", numpy, work=float(numpy())),) if tier is supported()[-1] else (),
                "tag",
                tags,
                write_bytes_per_s() / TAG_BYTES,
                "memory written",
            )


def _table(rate_hz: float) -> PhotonTable:
    return PhotonTable(
        pair_rate_hz=rate_hz,
        transmission=(0.3, 0.3),
        basis_z_probability=(0.5, 0.5),
        correlation=(0.98, 0.0, 0.0, 0.98),
        efficiency=(0.8,) * 8,
        dark_rate_hz=(1000.0,) * 8,
        jitter_ps=(150.0,) * 8,
        dead_time_ps=(20_000,) * 8,
        afterpulse_probability=(0.02,) * 8,
    )


def _ours(table: PhotonTable, tier: Tier) -> Callable[[], int]:
    source = PhotonSource(1)

    def run() -> int:
        tags = 0
        with forced(tier):
            for _ in range(TICKS):
                at_ps = source.now_ps
                for times, _channels in source.generate(table, at_ps + TICK_PS):
                    on_clock(
                        times, at_ps=at_ps, own_ps=at_ps, remainder_ps=0.0, rate_error=RATE_ERROR
                    )
                    tags += len(times)
        return tags

    return run


def _numpy(table: PhotonTable) -> Callable[[], int]:
    draw = np.random.default_rng(1)

    def end(pairs_ps: np.ndarray, seen: np.ndarray, detector: np.ndarray, first: int) -> int:
        lit = pairs_ps[seen], detector[seen]
        dark = draw.poisson(table.dark_rate_hz[first] * 4 * TICK_PS / 1e12)
        times = np.concatenate((lit[0], draw.uniform(0, TICK_PS, dark)))
        channels = np.concatenate((lit[1], draw.integers(0, 4, dark, np.uint8)))
        pulsed = np.flatnonzero(draw.random(len(times)) < table.afterpulse_probability[first])
        late = draw.exponential(table.afterpulse_decay_ps[first], len(pulsed))
        times = np.concatenate((times, times[pulsed] + table.dead_time_ps[first] + late))
        channels = np.concatenate((channels, channels[pulsed]))
        order = np.lexsort((times, channels))
        times, channels = times[order], channels[order]
        close = np.diff(times, prepend=-np.inf) < table.dead_time_ps[first]
        close &= np.diff(channels, prepend=255) == 0
        close[1:] &= ~close[:-1]
        times, channels = times[~close], channels[~close]
        times += draw.normal(0, table.jitter_ps[first], len(times))
        order = np.argsort(times)
        times = times[order] * (1 + RATE_ERROR)
        return len(np.rint(times).astype(np.int64)) if len(channels[order]) else 0

    def run() -> int:
        tags = 0
        caught = table.transmission[0] * table.efficiency[0]
        seen_share = 1 - (1 - caught) ** 2
        for _ in range(TICKS):
            count = draw.poisson(table.pair_rate_hz * seen_share * TICK_PS / 1e12)
            pairs_ps = np.sort(draw.uniform(0, TICK_PS, count))
            fate = draw.random(count) * seen_share
            basis = draw.integers(0, 2, (2, count), np.uint8)
            bit = draw.integers(0, 2, count, np.uint8)
            matched = basis[0] == basis[1]
            differ = draw.random(count) >= np.where(matched, 0.99, 0.5)
            detectors = 2 * basis[0] + bit, 2 * basis[1] + (bit ^ differ)
            tags += end(pairs_ps, fate < caught, detectors[0], 0)
            at_1 = (fate < caught**2) | (fate >= caught)
            tags += end(pairs_ps, at_1, detectors[1], 4)
        return tags

    return run

"""The statistics of simulated photons against what the table says, and their determinism."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.photons import PhotonSource, PhotonTable, on_clock
from qkd_native.tier import Tier, forced, supported

S = 1_000_000_000_000
TABLE = PhotonTable(
    pair_rate_hz=200_000,
    transmission=(0.5, 0.4),
    basis_z_probability=(0.7, 0.6),
    correlation=(0.9, 0.2, -0.3, 0.8),
    efficiency=(0.6, 0.5, 0.6, 0.6, 0.6, 0.6, 0.4, 0.6),
    dark_rate_hz=(300.0,) * 8,
    jitter_ps=(350.0,) * 8,
    dead_time_ps=(0,) * 8,
)


def five_sigma(count: float, expected: float) -> bool:
    return bool(abs(count - expected) < 5 * np.sqrt(expected))


def paired(a: np.ndarray, b: np.ndarray, window_ps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest partners within the window."""
    near = np.clip(np.searchsorted(b, a), 1, len(b) - 1)
    near -= (a - b[near - 1]) < (b[near] - a)
    index = np.flatnonzero(np.abs(b[near] - a) <= window_ps)
    return index, near[index]


def test_singles_follow_rate_loss_basis_and_efficiency() -> None:
    ends = PhotonSource(1).generate(TABLE, 2 * S)
    for end, (_, channels) in enumerate(ends):
        counts = np.bincount(channels, minlength=5)[1:]
        for i, count in enumerate(counts):
            z = TABLE.basis_z_probability[end]
            share = (z if i < 2 else 1 - z) / 2
            rate = 200_000 * TABLE.transmission[end] * share * TABLE.efficiency[4 * end + i] + 300
            assert five_sigma(count, 2 * rate)


def test_coincidences_correlate_as_asked_and_accidentals_are_rare() -> None:
    (ta, ca), (tb, cb) = PhotonSource(2).generate(TABLE, 2 * S)
    ia, ib = paired(ta, tb, 3000)
    a, b = ca[ia].astype(int) - 1, cb[ib].astype(int) - 1
    arms = [np.array(TABLE.efficiency[4 * e : 4 * e + 4]) for e in (0, 1)]
    for za in (0, 1):
        for zb in (0, 1):
            chosen = (a // 2 == za) & (b // 2 == zb)
            e = TABLE.correlation[2 * za + zb]
            joint = np.array([[1 + e, 1 - e], [1 - e, 1 + e]]) / 4
            joint *= np.outer(arms[0][2 * za : 2 * za + 2], arms[1][2 * zb : 2 * zb + 2])
            bases = (0.3, 0.7)[za == 0] * (0.4, 0.6)[zb == 0]
            expected = 2 * 200_000 * 0.5 * 0.4 * bases * joint
            for x in (0, 1):
                for y in (0, 1):
                    count = np.count_nonzero(chosen & (a % 2 == x) & (b % 2 == y))
                    accidentals = 2 * 6e-9 * 6e4 * 5e4
                    assert abs(count - expected[x, y]) < 5 * np.sqrt(expected[x, y]) + accidentals
    shifted, _ = paired(ta, tb + 1_000_000, 3000)
    assert len(ia) / max(1, len(shifted)) > 50


def test_jitter_has_its_width_and_no_bias() -> None:
    (ta, _), (tb, _) = PhotonSource(3).generate(TABLE, 2 * S)
    ia, ib = paired(ta, tb, 3000)
    spread = tb[ib] - ta[ia]
    assert np.std(spread) == pytest.approx(350 * np.sqrt(2), rel=0.05)
    assert abs(np.mean(spread)) < 5 * np.std(spread) / np.sqrt(len(spread))


def test_dead_time_forbids_and_saturates() -> None:
    dead_ps = 50_000_000
    table = dataclasses.replace(TABLE, dead_time_ps=(dead_ps,) * 8, jitter_ps=(0.0,) * 8)
    ends = PhotonSource(4).generate(table, 2 * S)
    free = PhotonSource(4).generate(dataclasses.replace(TABLE, jitter_ps=(0.0,) * 8), 2 * S)
    for (times, channels), (_, all_channels) in zip(ends, free, strict=True):
        for channel in (1, 2, 3, 4):
            own = times[channels == channel]
            assert np.diff(own).min() >= dead_ps
            rate = np.count_nonzero(all_channels == channel) / 2
            assert five_sigma(len(own), 2 * rate / (1 + rate * dead_ps / S))


def test_afterpulses_follow_clicks() -> None:
    dark = dataclasses.replace(
        TABLE,
        pair_rate_hz=0,
        dark_rate_hz=(20_000.0,) * 8,
        jitter_ps=(0.0,) * 8,
        afterpulse_probability=(0.1,) * 8,
        afterpulse_decay_ps=(100_000.0,) * 8,
    )
    times, channels = PhotonSource(5).generate(dark, S)[0]
    own = times[channels == 2]
    assert len(own) == pytest.approx(20_000 / 0.9, rel=0.04)
    assert np.count_nonzero(np.diff(own) < 500_000) == pytest.approx(0.11 * len(own), rel=0.2)


@given(cuts=st.lists(st.integers(0, 20_000_000_000), max_size=8), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=25, deadline=None)
def test_one_seed_gives_one_sequence_however_time_is_cut(cuts: list[int], seed: int) -> None:
    table = dataclasses.replace(
        TABLE,
        pair_rate_hz=3e6,
        dead_time_ps=(45_000,) * 8,
        afterpulse_probability=(0.02,) * 8,
    )
    end_ps = 20_000_000_000
    whole = PhotonSource(seed).generate(table, end_ps)
    source = PhotonSource(seed)
    parts = [source.generate(table, t) for t in [*sorted(cuts), end_ps]]
    for end in (0, 1):
        for kind in (0, 1):
            assert np.array_equal(whole[end][kind], np.concatenate([p[end][kind] for p in parts]))
        assert np.all(np.diff(whole[end][0]) >= 0)
    assert source.lost == 0


@pytest.mark.parametrize("tier", supported())
def test_one_seed_gives_one_sequence_in_every_tier(tier: Tier) -> None:
    table = dataclasses.replace(
        TABLE, pair_rate_hz=3e6, dead_time_ps=(45_000,) * 8, afterpulse_probability=(0.02,) * 8
    )
    with forced(Tier.PORTABLE):
        expected = PhotonSource(7).generate(table, S // 20)
    with forced(tier):
        clicks = PhotonSource(7).generate(table, S // 20)
    for end in (0, 1):
        for kind in (0, 1):
            assert np.array_equal(clicks[end][kind], expected[end][kind])


def test_gaps_between_pairs_are_exponential() -> None:
    table = dataclasses.replace(
        TABLE,
        pair_rate_hz=1e6,
        transmission=(1.0, 0.0),
        efficiency=(1.0,) * 8,
        dark_rate_hz=(0.0,) * 8,
        jitter_ps=(0.0,) * 8,
    )
    times, _ = PhotonSource(8).generate(table, S)[0]
    gaps = np.sort(np.diff(times)) / 1e6
    steps = np.arange(1, len(gaps) + 1) / len(gaps)
    distance = np.abs(1 - np.exp(-gaps) - steps).max()
    assert distance < 2.2 / np.sqrt(len(gaps))  # Kolmogorov and Smirnov: exceeded once in 10^4
    fates = np.diff(times)
    assert abs(np.corrcoef(fates[:-1], fates[1:])[0, 1]) < 5 / np.sqrt(len(fates))


def test_jitter_is_normal_as_far_as_twelve_uniform_numbers_are() -> None:
    table = dataclasses.replace(
        TABLE,
        pair_rate_hz=20_000,
        transmission=(1.0, 1.0),
        efficiency=(1.0,) * 8,
        dark_rate_hz=(0.0,) * 8,
        jitter_ps=(0.0,) * 4 + (1000.0,) * 4,
    )
    (ta, _), (tb, _) = PhotonSource(9).generate(table, 2 * S)
    ia, ib = paired(ta, tb, 6000)
    spread = (tb[ib] - ta[ia]) / 1000
    assert np.mean(spread**4) == pytest.approx(3 - 0.1, abs=0.25)  # 3 - 6 / (5 * 12)
    for within, share in ((1.0, 0.6827), (2.0, 0.9545)):
        assert np.mean(np.abs(spread) < within) == pytest.approx(share, abs=0.01)


@given(
    at_ps=st.integers(-(2**60), 2**60),
    own_ps=st.integers(-(2**60), 2**60),
    remainder_ps=st.floats(-0.5, 0.5),
    rate_error=st.floats(-1e-3, 1e-3),
    elapsed_ps=st.lists(st.integers(-(10**12), 10**12), max_size=20),
)
def test_a_clock_reads_what_it_gains(
    at_ps: int, own_ps: int, remainder_ps: float, rate_error: float, elapsed_ps: list[int]
) -> None:
    elapsed = np.array(elapsed_ps, dtype=np.int64)
    own = on_clock(
        elapsed + at_ps,
        at_ps=at_ps,
        own_ps=own_ps,
        remainder_ps=remainder_ps,
        rate_error=rate_error,
    )
    gained = np.rint(elapsed * rate_error + remainder_ps).astype(np.int64)
    assert np.array_equal(own, own_ps + elapsed + gained)


def test_other_seeds_give_other_sequences() -> None:
    one, other = (PhotonSource(seed).generate(TABLE, S // 10)[0][0] for seed in (1, 2))
    assert not np.array_equal(one[:100], other[:100])


def test_a_rate_may_change_at_any_time() -> None:
    source = PhotonSource(6)
    steps = []
    for rate in (100_000.0, 0.0, 400_000.0):
        table = dataclasses.replace(TABLE, pair_rate_hz=rate, dark_rate_hz=(0.0,) * 8)
        start = source.now_ps
        times, _ = source.generate(table, start + S)[0]
        assert len(times) == 0 or start - 3000 <= times[0] <= times[-1] < start + S
        steps.append(len(times))
    assert steps[1] <= 1
    assert steps[2] / steps[0] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"transmission": (1.1, 0.5)},
        {"correlation": (0.0, 0.0, 0.0, -1.5)},
        {"pair_rate_hz": -1.0},
        {"jitter_ps": (1e6,) * 8},
        {"pair_rate_hz": 1e12},
    ],
)
def test_an_impossible_table_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        dataclasses.replace(TABLE, **change)  # type: ignore[arg-type]

"""Random histories of a link: runs, verdicts, darkness, lost sessions, modes, scarce memory."""

import random

import pytest

from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import TestDisclosure


def random_runs(rng, kit, seconds):
    runs, begin = [], rng.uniform(0, 0.3)
    while begin < seconds:
        end = min(begin + rng.choice([0.3, 0.8, 1.5, 2.5]), seconds)
        error = rng.uniform(-0.049, 0.049)
        runs.append(kit.Run(round(begin, 3), round(end, 3), error, rng.random() > 0.2))
        begin = end + rng.choice([0.001, 0.02, 0.2])
    return runs


def live(kit, seed, seconds):
    """Plays one history, checks what must always hold, and returns how many pairs came out."""
    rng = random.Random(seed)
    light = kit.Light(
        seconds,
        pairs=rng.choice([3000, 12_000]),
        alone=rng.choice([10_000, 40_000]),
        seed=seed,
        dark=((2.0, 2.6),) if rng.random() < 0.4 else (),
    )
    runs = {end: random_runs(rng, kit, seconds) for end in ("reference", "announcing")}
    clocks = {
        end: kit.Clock(rng.uniform(-9, 9), rng.uniform(0, 20), period_s)
        for end, period_s in (("reference", 8.0), ("announcing", 5.0))
    }
    timing = Timing(
        search_span_ms=300,
        slice_ms=rng.choice([20, 50, 100]),
        test_slice_every=rng.choice([0, 7, 20]),
    )
    link = kit.Link(light, runs, clocks, timing, rng.choice([64 << 20, 900_000]))
    link.connect()
    taken = set()
    pairs = 0

    def take():
        nonlocal pairs
        assert link.reference.settled_ids() == link.announcing.settled_ids()
        ids, mine, theirs = link.take_all()
        assert len(mine) == len(theirs)
        assert not taken & set(ids)
        taken.update(ids)
        pairs += len(mine)
        if len(mine) > 300:
            assert kit.qber(mine, theirs) < 0.06

    while link.now_s < seconds:
        link.play(min(seconds, link.now_s + rng.uniform(0.05, 0.4)))
        what = rng.random()
        if what < 0.1:
            link.cut()
            link.play(min(seconds, link.now_s + rng.uniform(0.05, 0.4)))
            link.connect()
        elif what < 0.25:
            mode = rng.choice(["key", "test"])
            link.send("reference", [link.reference.set_mode(mode, rng.choice([10**9, 10**11]))])
        elif what < 0.5:
            take()
        assert link.reference.bytes_held() <= link.reference.bytes_limit
        assert link.announcing.bytes_held() <= link.announcing.bytes_limit
    take()

    disclosed = {(m.epoch, m.index) for m in link.sent if isinstance(m, TestDisclosure)}
    assert not disclosed & taken
    behind = {(m.epoch, m.index): m.peer_epoch for m in link.matched()}
    assert len(behind) == len(link.matched()), "no slice is matched twice"
    for name in taken:
        assert runs["reference"][name[0] - 100].clean
        assert runs["announcing"][behind[name] - 7].clean
    return pairs


@pytest.mark.parametrize("seed", [0, 7])
def test_a_random_history(link_kit, seed):
    assert live(link_kit, seed, 6.0) > 1000


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_many_random_histories(link_kit, seed):
    live(link_kit, seed, 12.0)

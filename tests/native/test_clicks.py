"""Events from clicks: independent of chunking, equal to a plain reading of the rules."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.clicks import EventResolver
from qkd_native.tier import Tier, forced, supported

CODES = {1: 0, 2: 1, 3: 2, 4: 3}


def lists(events):
    """Times and codes of events, before the next call makes others of them."""
    times, codes = events
    return times.tolist(), codes.tolist()


def oracle(clicks, window, dead_time):
    """The rules, click by click; clicks are (time, code or None, random) in time order."""
    events, last, members, first = [], None, [], None
    dropped = 0
    for time, code, random in clicks:
        if code is None:
            pass
        elif members and time - first <= window:
            members.append((code, random))
        elif last is not None and time - last < dead_time:
            dropped += 1
        else:
            if members:
                events.append((first, members))
            first, members = time, [(code, random)]
        last = time
    if members:
        events.append((first, members))
    result = []
    for time, inside in events:
        code = inside[0][0]
        if len(inside) > 1:
            random = inside[1][1] & 3
            mixed = len({c >> 1 for c, _ in inside}) > 1
            code = 4 | (random if mixed else (code & 2) | (random & 1))
        result.append((time, code))
    return result, dropped


clicks_strategy = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 3, 4, 9]), st.integers(0, 255)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(clicks_strategy, st.lists(st.integers(0, 60), max_size=4), st.integers(0, 8))
def test_events_follow_the_rules_however_the_stream_is_cut(steps, cuts, reorder):
    times = np.cumsum([s[0] for s in steps], dtype=np.int64)
    channels = np.array([s[1] for s in steps], np.uint8)
    random = np.array([s[2] for s in steps], np.uint8)
    delays = {1: 0, 2: 3, 3: -7, 4: 11}
    clicks = sorted(
        (int(t) - delays.get(int(c), 0), i, CODES.get(int(c)), int(r))
        for i, (t, c, r) in enumerate(zip(times, channels, random, strict=True))
    )
    expected, dropped = oracle([(t, c, r) for t, _, c, r in clicks], 5, 30)

    resolver = EventResolver(5, 30, delays, CODES, reorder_ps=reorder)
    bounds = sorted({0, len(times), *(min(c, len(times)) for c in cuts)})
    got = []
    for low, high in itertools.pairwise(bounds):
        t, c = resolver.feed(times[low:high], channels[low:high], random[low:high])
        complete = resolver.complete_until_ps
        got += zip(t.tolist(), c.tolist(), strict=True)
        assert complete is None or all(time >= complete for time, _ in expected[len(got) :])
    t, c = resolver.flush()
    got += zip(t.tolist(), c.tolist(), strict=True)

    assert got == expected
    assert resolver.dropped_dead_time == dropped
    assert resolver.events == len(expected)
    assert resolver.multi == sum(code >= 4 for _, code in expected)
    mapped = [c for c in clicks if c[2] is not None]
    assert sum(resolver.clicks.values()) == len(mapped)
    assert resolver.unmapped == len(steps) - len(mapped)
    assert resolver.non_monotone == 0


def test_a_click_too_far_back_is_dropped_and_counted():
    resolver = EventResolver(1, 2, {}, CODES, reorder_ps=10)
    t, _ = lists(resolver.feed(np.array([100, 91, 80, 150], np.int64), np.ones(4, np.uint8)))
    rest, _ = lists(resolver.flush())
    assert [*t, *rest] == [91, 100, 150]
    assert resolver.non_monotone == 1


def test_bits_of_multi_clicks_are_balanced():
    resolver = EventResolver(1, 2, {}, CODES)
    times = np.repeat(np.arange(4000, dtype=np.int64) * 100, 2)
    resolver.feed(times, np.tile(np.array([1, 3], np.uint8), 4000))
    _, codes = resolver.flush()
    resolver.feed(times, np.tile(np.array([1, 3], np.uint8), 4000))
    _, codes = resolver.flush()
    assert set(np.unique(codes)) == {4, 5, 6, 7}
    assert np.all(np.abs(np.bincount(codes, minlength=8)[4:] - 1000) < 200)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_tier_is_the_portable_one(data):
    """Long streams, mostly in order and far apart, and what disturbs them."""
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    size = data.draw(st.integers(0, 1000))
    times = np.cumsum(draw.integers(0, data.draw(st.sampled_from([20, 500])), size))
    channels = draw.choice(np.array([1, 2, 3, 4], np.uint8), size)
    strange = draw.random(size) < data.draw(st.sampled_from([0, 0.01, 0.3]))
    times = np.where(strange, times - draw.choice([0, 40, 900, 2**62, -(2**62)], size), times)
    channels[strange] = draw.choice(np.array([1, 9, 200], np.uint8), int(strange.sum()))
    random = draw.integers(0, 256, size, np.uint8)
    codes = CODES | data.draw(st.sampled_from([{}, {9: 1}, {200: 2}]))
    cut = data.draw(st.integers(0, size))

    def run():
        resolver = EventResolver(5, 30, {1: 0, 2: 3, 3: -7, 4: 11}, codes, reorder_ps=100)
        parts = (slice(cut), slice(cut, None))
        events = [lists(resolver.feed(times[p], channels[p], random[p])) for p in parts]
        events.append(lists(resolver.flush()))
        counts = (resolver.clicks, resolver.multi, resolver.dropped_dead_time)
        return events, counts, resolver.non_monotone, resolver.unmapped

    with forced(Tier.PORTABLE):
        wanted = run()
    for tier in supported():
        with forced(tier):
            assert run() == wanted


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_clicks_in_disorder_come_out_as_from_a_stable_sort(data):
    """Channels emptied one after the other, many clicks at one time, and cuts anywhere."""
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    size = data.draw(st.integers(0, 3000))
    step = data.draw(st.sampled_from([1, 3, 40]))
    swath = step * data.draw(st.sampled_from([1, 10, 100, 600]))
    times = np.cumsum(draw.integers(0, 2 * step, size))
    times[size // 2 :] += data.draw(st.sampled_from([0, 2**46, 2**55]))
    channels = draw.integers(1, 5, size, dtype=np.uint8)
    swept = np.lexsort((times, channels, times // swath))
    times, channels = times[swept], channels[swept]
    random = draw.integers(0, 256, size, np.uint8)
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    delays = {1: 0, 2: 3, 3: -7, 4: 11}
    corrected = times - np.array([0, 0, 3, -7, 11])[channels]
    clicks = [
        (int(corrected[i]), CODES[int(channels[i])], int(random[i]))
        for i in np.argsort(corrected, kind="stable")
    ]
    expected, _ = oracle(clicks, 0, 0)
    for tier in supported():
        with forced(tier):
            resolver = EventResolver(0, 0, delays, CODES, reorder_ps=2 * swath)
            got = []
            for low, high in itertools.pairwise([0, *cuts, size]):
                piece = slice(low, high)
                got.append(lists(resolver.feed(times[piece], channels[piece], random[piece])))
            got.append(lists(resolver.flush()))
        assert resolver.non_monotone == 0
        events = [e for t, c in got for e in zip(t, c, strict=True)]
        assert events == expected


def test_wrong_arrays_and_settings_are_refused():
    resolver = EventResolver(1, 2, {}, CODES)
    with pytest.raises(ValueError, match="int64"):
        resolver.feed(np.zeros(2, np.float64), np.ones(2, np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one length"):
        resolver.feed(np.zeros(2, np.int64), np.ones(3, np.uint8))
    for bad in (
        lambda: EventResolver(-1, 2, {}, CODES),
        lambda: EventResolver(1, 2, {}, {}),
        lambda: EventResolver(1, 2, {}, {1: 4}),
        lambda: EventResolver(1, 2, {1: 1 << 41}, CODES),
    ):
        with pytest.raises(ValueError):
            bad()


def test_codes_are_wiped_once_they_have_been_used():
    for tier in supported():
        with forced(tier):
            resolver = EventResolver(1, 2, {}, CODES, reorder_ps=10)
            resolver.feed(np.array([0, 100], np.int64), np.array([4, 4], np.uint8))
            held = resolver._held_codes
            assert held[0] & 3 == 3 and not held[1:].any()
            many = np.arange(200, 2200, 100)
            _, codes = resolver.feed(many, np.full(20, 4, np.uint8))
            assert not held.any()
            assert codes.all() and not resolver._event_codes[len(codes) :].any()
            held = resolver._held_codes
            assert held[0] & 3 == 3 and not held[1:].any()
            resolver.flush()
            assert not held.any()

"""Events from clicks: independent of chunking, equal to a plain reading of the rules."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native.clicks import EventResolver
from qkd_native.tier import Tier, forced, supported

CODES = {1: 0, 2: 1, 3: 2, 4: 3}


def room(resolver, clicks):
    return np.zeros(resolver.room(clicks), np.int64), np.zeros(resolver.room(clicks), np.uint8)


def fed(resolver, times, channels):
    """The events of one feed, as lists."""
    events = room(resolver, len(times))
    count = resolver.feed(times, channels, *events)
    return tuple(array[:count].tolist() for array in events)


def flushed(resolver):
    events = room(resolver, 0)
    count = resolver.flush(*events)
    return tuple(array[:count].tolist() for array in events)


def always(bits):
    """Draws the same two bits for every event."""
    return lambda count: bytes([bits * 0x55]) * count


def oracle(clicks, window, dead_time, bits):
    """The rules, click by click; clicks are (time, code or None) in time order."""
    events, last, members, first = [], None, [], None
    dropped = 0
    for time, code in clicks:
        if code is None:
            pass
        elif members and time - first <= window:
            members.append(code)
        elif last is not None and time - last < dead_time:
            dropped += 1
        else:
            if members:
                events.append((first, members))
            first, members = time, [code]
        last = time
    if members:
        events.append((first, members))
    result = []
    for time, inside in events:
        code = inside[0]
        if len(inside) > 1:
            mixed = len({c >> 1 for c in inside}) > 1
            code = 4 | (bits if mixed else (code & 2) | (bits & 1))
        result.append((time, code))
    return result, dropped


clicks_strategy = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 3, 4, 9])), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(
    clicks_strategy, st.lists(st.integers(0, 60), max_size=4), st.integers(0, 8), st.integers(0, 3)
)
def test_events_follow_the_rules_however_the_stream_is_cut(steps, cuts, reorder, bits):
    times = np.cumsum([s[0] for s in steps], dtype=np.int64)
    channels = np.array([s[1] for s in steps], np.uint8)
    delays = {1: 0, 2: 3, 3: -7, 4: 11}
    clicks = sorted(
        (int(t) - delays.get(int(c), 0), i, CODES.get(int(c)))
        for i, (t, c) in enumerate(zip(times, channels, strict=True))
    )
    expected, dropped = oracle([(t, c) for t, _, c in clicks], 5, 30, bits)

    resolver = EventResolver(5, 30, delays, CODES, reorder_ps=reorder, draw=always(bits))
    bounds = sorted({0, len(times), *(min(c, len(times)) for c in cuts)})
    got = []
    for low, high in itertools.pairwise(bounds):
        t, c = fed(resolver, times[low:high], channels[low:high])
        complete = resolver.complete_until_ps
        got += zip(t, c, strict=True)
        assert complete is None or all(time >= complete for time, _ in expected[len(got) :])
    got += zip(*flushed(resolver), strict=True)

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
    t, _ = fed(resolver, np.array([100, 91, 80, 150], np.int64), np.ones(4, np.uint8))
    rest, _ = flushed(resolver)
    assert [*t, *rest] == [91, 100, 150]
    assert resolver.non_monotone == 1


def test_bits_of_multi_clicks_are_balanced():
    resolver = EventResolver(1, 2, {}, CODES)
    times = np.repeat(np.arange(4000, dtype=np.int64) * 100, 2)
    channels = np.tile(np.array([1, 3], np.uint8), 4000)
    codes = fed(resolver, times, channels)[1] + flushed(resolver)[1]
    assert len(codes) == 4000 and set(codes) == {4, 5, 6, 7}
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
    codes = CODES | data.draw(st.sampled_from([{}, {9: 1}, {200: 2}]))
    cut = data.draw(st.integers(0, size))

    def run():
        delays = {1: 0, 2: 3, 3: -7, 4: 11}
        resolver = EventResolver(5, 30, delays, codes, reorder_ps=100, draw=lambda n: bytes(n))
        parts = (slice(cut), slice(cut, None))
        events = [fed(resolver, times[p], channels[p]) for p in parts]
        events.append(flushed(resolver))
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
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    delays = {1: 0, 2: 3, 3: -7, 4: 11}
    corrected = times - np.array([0, 0, 3, -7, 11])[channels]
    clicks = [
        (int(corrected[i]), CODES[int(channels[i])]) for i in np.argsort(corrected, kind="stable")
    ]
    bits = data.draw(st.integers(0, 3))
    expected, _ = oracle(clicks, 0, 0, bits)
    for tier in supported():
        with forced(tier):
            resolver = EventResolver(0, 0, delays, CODES, 2 * swath, draw=always(bits))
            got = []
            for low, high in itertools.pairwise([0, *cuts, size]):
                piece = slice(low, high)
                got.append(fed(resolver, times[piece], channels[piece]))
            got.append(flushed(resolver))
        assert resolver.non_monotone == 0
        events = [e for t, c in got for e in zip(t, c, strict=True)]
        assert events == expected


def test_wrong_arrays_and_settings_are_refused():
    resolver = EventResolver(1, 2, {}, CODES)
    events = room(resolver, 2)
    with pytest.raises(ValueError, match="int64"):
        resolver.feed(np.zeros(2, np.float64), np.ones(2, np.uint8), *events)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one length"):
        resolver.feed(np.zeros(2, np.int64), np.ones(3, np.uint8), *events)
    with pytest.raises(ValueError, match="room for 2"):
        resolver.feed(np.zeros(2, np.int64), np.ones(2, np.uint8), events[0][:2], events[1])
    with pytest.raises(ValueError, match="int64"):
        resolver.flush(events[1], events[1])
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
            fed(resolver, np.array([0, 100], np.int64), np.array([4, 4], np.uint8))
            held = resolver._held_codes
            assert held[0] & 3 == 3 and not held[1:].any()
            many = np.arange(200, 2200, 100)
            times, codes = room(resolver, 20)
            codes.fill(99)
            count = resolver.feed(many, np.full(20, 4, np.uint8), times, codes)
            assert set(codes[:count]) == {3} and 3 not in codes[count:]
            held = resolver._held_codes
            assert held[0] & 3 == 3 and not held[1:].any()
            flushed(resolver)
            assert not held.any()
            fed(resolver, np.arange(10_000), np.full(10_000, 4, np.uint8))
            assert resolver._held_codes is not held and not held.any()


def test_clicks_are_dithered_before_anything_else():
    """Each by less than a step, whatever its channel's delay; and events are what comes of that."""
    step_ps, count = 1000, 5000
    times = np.arange(count, dtype=np.int64) * 10 * step_ps
    channels = (1 + np.arange(count) % 4).astype(np.uint8)
    delays = np.array([0, 0, 700, -300, 40])
    resolver = EventResolver(1, 2, dict(enumerate(delays)), CODES, step_ps=step_ps)
    found, _ = fed(resolver, times, channels)
    found += flushed(resolver)[0]
    moved = np.array(found) + delays[channels] - times
    assert 0 <= moved.min() < step_ps / 100 and step_ps * 0.99 <= moved.max() < step_ps

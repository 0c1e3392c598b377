"""The engine's words and its answers leave in the order in which they arose."""

import asyncio

import numpy as np
import pytest

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.config.link import Timing
from qkd_controller.config.node import Channel
from qkd_controller.devices.tagger import RunEnded, RunStarted
from qkd_controller.link.acquisition_messages import RunEnded as RunEndedMessage
from qkd_controller.link.acquisition_messages import TimesAnnounced
from qkd_controller.link.errors import ProtocolError
from qkd_controller.link.message import Message
from qkd_controller.node.matching import EventSource, Matching
from qkd_controller.node.outbox import Outbox
from qkd_drivers.contract import Tags
from qkd_native import deltas

TIMING = Timing(search_span_ms=100)
CHANNELS = (Channel(1, "z", 0), Channel(2, "z", 1), Channel(3, "x", 0), Channel(4, "x", 1))

# Exceeded by chance once in a million times, with 3 and with 9 degrees of freedom.
CHI_SQUARE_3, CHI_SQUARE_9 = 30.7, 45.1


async def test_an_answer_comes_after_all_that_was_said_before_it() -> None:
    """Who learns that a run's slices are settled can be sure that the peer is told so first."""
    spoken: list[Message] = []
    engine = AnnouncingEnd(TIMING, 1 << 20)
    engine.begin_session()
    matching = Matching(engine, EventSource(TIMING, CHANNELS, 2000), spoken.append, lambda _: None)
    outbox = Outbox()
    matching.attach(outbox)
    running = asyncio.create_task(matching.run())
    try:
        # All of this reaches the engine in one visit.
        matching.feed(RunStarted(1, 1))
        matching.feed(RunEnded(1, 10**12, True, "", 0.0))
        assert await matching.call(lambda engine: engine.settled_pairs) == 0
        assert any(isinstance(message, RunEndedMessage) for message in spoken)
        assert [await outbox.get() for _ in spoken] == spoken
    finally:
        running.cancel()


async def test_a_refusal_reaches_who_asked() -> None:
    """An error of the question is its answer; the engine and later questions are not touched."""
    engine = AnnouncingEnd(TIMING, 1 << 20)
    matching = Matching(engine, EventSource(TIMING, CHANNELS, 2000), lambda _: None, lambda _: None)
    running = asyncio.create_task(matching.run())
    try:
        with pytest.raises(ProtocolError, match="oldest settled"):
            await matching.call(lambda engine: engine.take_slices([(1, 1)]))
        assert await matching.call(lambda _: 7) == 7
    finally:
        running.cancel()


class _Kept(AnnouncingEnd):
    """Remembers the codes of all events, which the wire must not tell."""

    def __init__(self, timing: Timing) -> None:
        super().__init__(timing)
        self.codes: list[np.ndarray] = []

    def fill(self, epoch, most, write):
        def noted(times, codes):
            count, until_ps = write(times, codes)
            self.codes.append(codes[:count].copy())
            return count, until_ps

        return super().fill(epoch, most, noted)


@pytest.mark.parametrize("delays_ps", [(0, 700, 1300, 300), (137, 842, -311, 1503)])
@pytest.mark.parametrize("resolution_ps", [1, 500])
def test_an_announced_time_does_not_tell_the_detector(delays_ps, resolution_ps) -> None:
    """Whatever the delays, times on the wire are uniform within the tagger's step, by channel."""
    step_ps, count = 2000, 120_000
    timing = Timing(announce_resolution_ps=resolution_ps)
    channels = tuple(
        Channel(c.channel, c.basis, c.bit, delay)
        for c, delay in zip(CHANNELS, delays_ps, strict=True)
    )
    source, engine = EventSource(timing, channels, step_ps), _Kept(timing)
    engine.begin_session()
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.integers(100, 1000, count)) * step_ps
    clicked = rng.integers(1, 5, count).astype(np.uint8)
    said = source.apply(RunStarted(1, 10**18), engine)
    for low in range(0, count, 5000):
        part = slice(low, low + 5000)
        said += source.apply(Tags(times[part], clicked[part]), engine)
    said += source.apply(RunEnded(1, int(times[-1]), True, "", 0.0), engine)

    announced = [m for m in said if isinstance(m, TimesAnnounced)]
    ticks = np.concatenate([deltas.decode(m.deltas, m.count, m.first_tick) for m in announced])
    codes = np.concatenate(engine.codes) & 3
    assert len(ticks) == len(codes) == count
    cells = ticks * resolution_ps % step_ps * 4 // step_ps
    table = np.array([np.bincount(cells[codes == code], minlength=4) for code in range(4)])
    for row in table:
        expected = row.sum() / 4
        assert np.sum((row - expected) ** 2) / expected < CHI_SQUARE_3
    # 2 N ln 2 times the mutual information in bits is chi-square distributed where there is none.
    joint = table / count
    apart = np.outer(joint.sum(1), joint.sum(0))
    information_bits = float(np.sum(joint * np.log2(joint / apart)))
    assert 2 * count * np.log(2) * information_bits < CHI_SQUARE_9
    ends = [m for m in said if isinstance(m, RunEndedMessage)]
    assert len(ends) == 1 and ends[0].clean


def _run(tags: list[int], timing: Timing = TIMING) -> tuple[_Kept, list[Message]]:
    """One run of clicks on one channel, in this order."""
    source, engine = EventSource(timing, CHANNELS, 2000), _Kept(timing)
    engine.begin_session()
    said = source.apply(RunStarted(1, 10**18), engine)
    times = np.array(tags, np.int64)
    said += source.apply(Tags(times, np.ones(len(tags), np.uint8)), engine)
    return engine, said + source.apply(RunEnded(1, 10**12, True, "", 0.0), engine)


def test_a_click_too_late_to_be_ordered_makes_its_run_unclean() -> None:
    _, said = _run([10**9, 2 * 10**9, 10**9 + 10**8])
    assert isinstance(said[-1], RunEndedMessage)
    assert not said[-1].clean and "too late" in said[-1].cause
    _, said = _run([10**9, 2 * 10**9, 2 * 10**9 - 10**8])
    assert isinstance(said[-1], RunEndedMessage) and said[-1].clean


def test_the_first_dead_time_of_a_run_gives_no_event() -> None:
    """A click of before the run may have left a detector dead."""
    engine, _ = _run([10_000, 40_000, 10**6])
    assert [len(codes) for codes in engine.codes] == [0, 1]
    engine, _ = _run([10**6, 2 * 10**6])
    assert sum(map(len, engine.codes)) == 2


class _Rooms(AnnouncingEnd):
    """Has events written into memory that it shows."""

    def __init__(self, timing: Timing) -> None:
        super().__init__(timing)
        self.rooms: list[np.ndarray] = []
        self.events = 0

    def fill(self, epoch, most, write):
        times, codes = np.zeros(most, np.int64), np.zeros(most, np.uint8)
        count, _ = write(times, codes)
        self.rooms.append(codes[count:])
        self.events += count
        return []


def test_no_code_lies_beyond_the_events_of_the_engine() -> None:
    """Not of clicks that fell to the dead time, nor of the events that came too early."""
    source, engine = EventSource(TIMING, (Channel(1, "x", 1),), 2000), _Rooms(TIMING)
    source.apply(RunStarted(1, 10**18), engine)
    times = np.array([10, 2 * 10**5, 2 * 10**5 + 20_000, *np.arange(1, 9) * 10**9], np.int64)
    source.apply(Tags(times, np.ones(11, np.uint8)), engine)
    source.apply(RunEnded(1, 10**12, True, "", 0.0), engine)
    assert engine.events == 9 and len(engine.rooms) == 2
    assert not any(codes.any() for codes in engine.rooms)

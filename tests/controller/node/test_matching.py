"""The engine's words and its answers leave in the order in which they arose."""

import asyncio

import pytest

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.config.link import Timing
from qkd_controller.config.node import Channel
from qkd_controller.devices.tagger import RunEnded, RunStarted
from qkd_controller.link.acquisition_messages import RunEnded as RunEndedMessage
from qkd_controller.link.errors import BlockDiscarded
from qkd_controller.link.message import Message
from qkd_controller.node.matching import EventSource, Matching, Outbox

TIMING = Timing(search_span_ms=100)
CHANNELS = (Channel(1, "z", 0), Channel(2, "z", 1), Channel(3, "x", 0), Channel(4, "x", 1))


async def test_an_answer_comes_after_all_that_was_said_before_it() -> None:
    """Who learns that a run's slices are settled can be sure that the peer is told so first."""
    spoken: list[Message] = []
    engine = AnnouncingEnd(TIMING, 1 << 20)
    engine.begin_session()
    matching = Matching(engine, EventSource(TIMING, CHANNELS, 2000), spoken.append, lambda _: None)
    outbox: Outbox = asyncio.Queue()
    matching.attach(outbox)
    running = asyncio.create_task(matching.run())
    try:
        # All of this reaches the engine in one visit.
        matching.feed(RunStarted(1, 1))
        matching.feed(RunEnded(1, 10**12, True, "", 0.0))
        assert await matching.call(lambda engine: engine.settled_pairs) == 0
        assert any(isinstance(message, RunEndedMessage) for message in spoken)
        assert outbox.qsize() == len(spoken)
    finally:
        running.cancel()


async def test_a_refusal_reaches_who_asked() -> None:
    """An error of the question is its answer; the engine and later questions are not touched."""
    engine = AnnouncingEnd(TIMING, 1 << 20)
    matching = Matching(engine, EventSource(TIMING, CHANNELS, 2000), lambda _: None, lambda _: None)
    running = asyncio.create_task(matching.run())
    try:
        with pytest.raises(BlockDiscarded, match="unknown slice"):
            await matching.call(lambda engine: engine.take_slices([(1, 1)]))
        assert await matching.call(lambda _: 7) == 7
    finally:
        running.cancel()

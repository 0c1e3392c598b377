"""The endless stream of runs, and what it says when a run is lost."""

import asyncio
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import bench as lab
import numpy as np
from bench import Bench
from recorded import a1_bytes

from qkd_controller.config.node import Device
from qkd_controller.devices import RunEnded, RunStarted, TaggerActor
from qkd_controller.devices.state import State
from qkd_drivers.contract import Tags


def actor_for(address: str) -> TaggerActor:
    config = Device(name="tagger", kind="tagger", model="s15-tdc1", address=address)
    return TaggerActor(config, poll_s=0.02, reconnect_s=(0.02, 0.1))


async def test_runs_are_bracketed_epochs_rise_and_a_cut_ends_one_unclean(bench: Bench) -> None:
    core = lab.tdc1()
    bench.rate_cps[core] = 50_000
    address, wire = await bench.plug(core)
    actor = actor_for(address)
    started: list[RunStarted] = []
    ended: list[RunEnded] = []
    tags = 0
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(actor.run())
        async with aclosing(actor.stream(0.2)) as stream:
            async for event in stream:
                match event:
                    case RunStarted():
                        assert len(started) == len(ended)
                        started.append(event)
                        tags = 0
                    case Tags():
                        assert event.times_ps.dtype == np.int64
                        tags += len(event.times_ps)
                        if len(started) == 2:
                            await wire.apply("cut")
                            await wire.apply("restore")
                    case RunEnded():
                        ended.append(event)
                        assert event.epoch == started[-1].epoch
                        assert tags > 0
                        if len(ended) == 3:
                            break
        await lab.eventually(lambda: not core.streaming)
        running.cancel()
    assert [run.clean for run in ended] == [True, False, True]
    assert "unplugged" in ended[1].cause and ended[0].cause == ""
    assert all(a.epoch < b.epoch for a, b in pairwise(started))
    assert ended[0].dead_s == 0.0 and 0 < ended[2].dead_s < 5


async def test_singles_are_told_as_readings(bench: Bench) -> None:
    core = lab.tdc1()
    bench.rate_cps[core] = 40_000
    address, _ = await bench.plug(core)
    actor = actor_for(address)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(actor.run())
        async with aclosing(actor.stream(1.2)) as stream:
            async for event in stream:
                if isinstance(event, RunEnded):
                    break
        assert abs(actor.readings["singles_1_cps"].value - 10_000) < 200
        running.cancel()


async def test_a_recording_is_streamed_to_its_end_and_the_end_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(a1_bytes(range(0, 10**12, 10**8)))
    actor = TaggerActor(
        Device("tagger", "tagger", "replay", f"file:{tmp_path}?format=a1&speed=max"),
        poll_s=0.02,
        reconnect_s=(0.02, 0.1),
    )
    causes: list[tuple[bool, str]] = []
    tags = 0
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(actor.run())

        async def consume() -> None:
            nonlocal tags
            async with aclosing(actor.stream(0.6)) as stream:
                async for event in stream:
                    match event:
                        case Tags():
                            tags += len(event.times_ps)
                        case RunEnded():
                            causes.append((event.clean, event.cause))

        consumer = group.create_task(consume())
        await lab.eventually(lambda: "played to its end" in actor.cause)
        consumer.cancel()
        assert actor.state is State.DISCONNECTED
        running.cancel()
    assert causes == [(True, ""), (True, "end of a"), (True, ""), (True, "end of b")]
    assert tags == 20_000

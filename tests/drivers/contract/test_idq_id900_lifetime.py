"""A time controller that is left, closed, restarted, or was in the hands of others."""

import asyncio
import contextlib
import gc

import bench as lab
import pytest
from bench import Bench
from id900s import collect, tagger_on

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import Quality
from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceTimeout,
)
from qkd_drivers.framing import Wire
from qkd_drivers.models.idq_id900_run import Id900Run
from qkd_firmware_sim.cores.id900 import Id900


async def test_leaving_a_run_stops_the_stream(bench: Bench) -> None:
    """Cancelled in the middle, the driver ends recording and acquisitions."""
    tagger, core, _ = await tagger_on(bench)

    async def consume() -> None:
        async with await tagger.start_run(60) as run:
            async for _ in run:
                begun.set()

    begun = asyncio.Event()
    consumer = asyncio.create_task(consume())
    await begun.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    await lab.eventually(lambda: not core.streaming and not core.link.acquisitions)
    assert sum(await tagger.counts(0.1)) > 0
    await tagger.close()


async def test_closing_the_device_ends_a_run_that_waits_for_tags(bench: Bench) -> None:
    """Whoever iterates it is told, and not cancelled: it may be another task than the closer."""
    tagger, _, _ = await tagger_on(bench)
    run = await tagger.start_run(60)
    begun = asyncio.Event()

    async def consume() -> None:
        async for _ in run:
            begun.set()

    consumer = asyncio.create_task(consume())
    await begun.wait()
    await tagger.close()
    await consumer
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "was closed" in run.verdict.cause


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
async def test_a_close_that_is_cancelled_leaves_nothing_open(bench: Bench, turns: int) -> None:
    """However far it had come; the run is told all the same."""
    tagger, _, _ = await tagger_on(bench)
    run = await tagger.start_run(60)
    async for _ in run:
        break
    closing = asyncio.create_task(tagger.close())
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    del tagger, run
    gc.collect()  # what was left open is told here


async def test_closing_the_device_ends_a_run_that_is_being_set_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stream of it is left open, and the box is not told to stop by whoever connects next."""
    half_way, go_on = asyncio.Event(), asyncio.Event()
    open_stream = Id900Run._open_stream

    async def held(run: Id900Run, channel: int) -> object:
        if channel == 3:
            half_way.set()
            await go_on.wait()
        return await open_stream(run, channel)

    monkeypatch.setattr(Id900Run, "_open_stream", held)
    tagger, core, _ = await tagger_on(bench)
    starting = asyncio.create_task(tagger.start_run(60))
    await half_way.wait()
    assert len(core.link.acquisitions) == 2
    await tagger.close()
    await tagger.connect()
    go_on.set()
    with pytest.raises(DeviceError):
        await starting
    gc.collect()  # what was left open is told here
    await tagger.configure()
    assert len(await collect(await tagger.start_run(0.2)))
    await tagger.close()


async def test_what_another_program_left_running_is_ended(bench: Bench) -> None:
    """Its recording and its acquisitions would hold the channels for ever."""
    tagger, core, _ = await tagger_on(bench)
    run = await tagger.start_run(60)
    async for _ in run:
        break
    await tagger.close()  # as a killed program leaves it
    assert core.streaming and len(core.link.acquisitions) == 4
    await tagger.connect()
    await tagger.configure()
    assert not core.streaming and not core.link.acquisitions
    await tagger.close()


async def test_two_programs_are_served_and_each_gets_its_own_answers(bench: Bench) -> None:
    """As REP sockets do; a question that timed out hurts nobody else."""
    core = lab.id900()
    address, _ = await bench.plug(core, front="zmtp")
    first = await open_device("idq-id900", address, "first")
    second = await open_device("idq-id900", address, "second")
    readings = await asyncio.gather(*(device.readings() for device in (first, second) * 5))
    assert all(reading.keys() == readings[0].keys() for reading in readings)
    await first.close()
    await second.readings()
    await second.close()


async def test_lost_settings_are_noticed_before_the_next_run(bench: Bench) -> None:
    """A box that was restarted takes tags with the maker's thresholds: not as a run of ours."""
    tagger, core, _ = await tagger_on(bench)
    core.lose_settings()
    with pytest.raises(DeviceLost, match="lost its settings"):
        await tagger.start_run(0.2)
    await tagger.configure()
    await collect(await tagger.start_run(0.2))
    await tagger.close()


class Restarting(Id900):
    """Starts anew just before it records, but for what the run has set."""

    def _play(self) -> None:
        for block in self._inputs.values():
            block.threshold_v = 0.5
        super()._play()


async def test_settings_lost_while_a_run_is_set_up_are_noticed(bench: Bench) -> None:
    """At the last moment before it records; nothing is left running."""
    tagger, core, _ = await tagger_on(bench, core=Restarting("T900-1"))
    with pytest.raises(DeviceLost, match="lost its settings"):
        await tagger.start_run(0.2)
    assert not core.streaming and not core.link.acquisitions
    await tagger.close()


async def test_a_service_that_restarts_is_found_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Box and service hang up at once: told, and mended by connecting again."""
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)
    tagger, core, wire = await tagger_on(bench)
    await wire.apply("hang_up", size=3)
    with pytest.raises((DeviceLost, DeviceTimeout), match="tagger"):
        await tagger.readings()
    await tagger.close()
    await tagger.connect()
    await tagger.configure()
    await collect(await tagger.start_run(0.2))
    assert not core.link.acquisitions
    await tagger.close()

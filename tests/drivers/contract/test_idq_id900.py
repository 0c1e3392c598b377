"""The time controller on its sockets: its runs, its settings, and what the driver knows of them."""

import asyncio
from typing import Any

import bench as lab
import numpy as np
import pytest
from agreement import agreement
from bench import Bench
from direct import Client, DirectTransport
from hypothesis import given, settings
from hypothesis import strategies as st
from id900s import RECORD_PS, collect, tagger_on

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Quality
from qkd_drivers.errors import DeviceRefused
from qkd_drivers.models.idq_id900 import IdqId900
from qkd_drivers.models.idq_id900_run import DEAD_PS
from qkd_firmware_sim.cores.id900 import Id900


async def test_a_run_delivers_every_pulse_at_its_time(bench: Bench) -> None:
    """Over three sub-recordings; the 40 ns after each are the only time that is not seen."""
    tagger, _, _ = await tagger_on(bench, 100_000)
    run = await tagger.start_run(0.5)
    assert run.verdict is None
    times, channels = await collect(run)
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    assert run.end_ps == 3 * (RECORD_PS + DEAD_PS) and run.utc_ns > 0
    assert set(np.diff(times)) == {10_000_000}
    assert set(np.diff(channels.astype(int))) == {1, -3}
    assert len(times) == pytest.approx(run.end_ps / 10_000_000, abs=1)
    await tagger.close()


async def test_pulses_in_the_dead_time_of_the_box_are_not_seen(bench: Bench) -> None:
    """The only pulses missing between two sub-recordings are those of its 40 ns."""
    tagger, core, _ = await tagger_on(bench, 0)
    run = await tagger.start_run(0.4)
    start_ps = core.now_ps
    at = [RECORD_PS - 1, RECORD_PS, RECORD_PS + DEAD_PS - 1, RECORD_PS + DEAD_PS]
    begun_ps = core._record.start_ps
    assert begun_ps is not None and begun_ps <= start_ps
    core.clicks(np.array(at) + begun_ps, np.array([1, 2, 3, 4], np.uint8))
    times, channels = await collect(run)
    assert times.tolist() == [at[0], at[3]] and channels.tolist() == [1, 4]
    await tagger.close()


async def test_a_dark_run_ends_in_time_and_clean(bench: Bench) -> None:
    """Channels without tags send empty frames, which keep the time."""
    tagger, _, _ = await tagger_on(bench, 0)
    run = await tagger.start_run(0.4)
    assert [tags async for tags in run] == []
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    assert run.end_ps >= 0.4e12
    await tagger.close()


async def test_runs_follow_each_other(bench: Bench) -> None:
    """Nothing of a run is left in the box or the service for the next one."""
    tagger, core, _ = await tagger_on(bench)
    for _ in range(3):
        run = await tagger.start_run(0.1)
        times, _ = await collect(run)
        assert len(times) >= 5000
        assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
        assert core.link.acquisitions == {} and not core.streaming
    await tagger.close()


async def test_an_overflow_marks_the_run(bench: Bench) -> None:
    """The box counts what it dropped, and the driver reads that."""
    tagger, core, _ = await tagger_on(bench)
    run = await tagger.start_run(0.3)
    core.overflow()
    assert len([tags async for tags in run])
    assert run.verdict is not None and run.verdict.quality is Quality.OVERFLOW
    assert "dropped tags" in run.verdict.cause and "RAW1:ERRORS?" in run.verdict.cause
    await tagger.close()


async def test_a_slow_consumer_holds_the_stream_back_and_then_the_box_overflows(
    bench: Bench,
) -> None:
    """Few frames wait anywhere: the box's memory fills, and what it loses is told."""
    core = Id900("small", fifo_bytes=1 << 14)
    tagger, _, _ = await tagger_on(bench, 400_000, core)
    run = await tagger.start_run(0.2)
    assert len([tags async for tags in run])
    assert run.verdict is not None and run.verdict.quality is Quality.OVERFLOW
    await tagger.close()


async def test_counts_match_the_rate_and_the_gate(bench: Bench) -> None:
    """The gate is the box's own; its clock here steps by 5 ms."""
    tagger, _, _ = await tagger_on(bench, 40_000)
    assert await tagger.counts(0.2) == pytest.approx((2000,) * 4, rel=0.1)
    await tagger.close()


async def test_settings_are_checked(bench: Bench) -> None:
    """By the driver where it knows, else by what the box holds afterwards."""
    tagger, core, _ = await tagger_on(bench, 40_000)
    await tagger.configure(level="-0.25")
    assert {block.threshold_v for block in core._inputs.values()} == {-0.25}
    for level in ("ECL", "-4", "1e1"):
        with pytest.raises(ValueError, match="NIM"):
            await tagger.configure(level=level)
    with pytest.raises(ValueError, match="clock"):
        await tagger.configure(reference_clock="external")
    # A threshold on the wrong side of the pulses: the run has frames, but no tags.
    await tagger.configure(level="TTL")
    run = await tagger.start_run(0.2)
    assert [tags async for tags in run] == []
    await tagger.close()


async def test_a_coarser_mode_than_declared_is_refused(bench: Bench) -> None:
    """The dither that hides which detector fired must be as wide as the box's step."""
    address, _ = await bench.plug(Id900("coarse", resolution_ps=250), front="zmtp")
    tagger = await open_device("idq-id900", address, "tagger")
    assert isinstance(tagger, IdqId900)
    with pytest.raises(DeviceRefused, match="resolution_ps=250"):
        await tagger.configure()
    await tagger.close()


async def test_the_boxs_own_delays_are_set(bench: Bench) -> None:
    """`delays_ps` of the address moves each channel's tags in the box."""
    core = lab.id900()
    address, _ = await bench.plug(core, front="zmtp")
    tagger = await open_device("idq-id900", f"{address}&delays_ps=0,70,0,1000", "tagger")
    assert isinstance(tagger, IdqId900)
    await tagger.configure()
    run = await tagger.start_run(0.2)
    begun_ps = core._record.start_ps
    assert begun_ps is not None
    core.clicks(np.full(4, begun_ps + 500), np.array([1, 2, 3, 4], np.uint8))
    times, channels = await collect(run)
    assert times.tolist() == [500, 500, 570, 1500] and channels.tolist() == [1, 3, 2, 4]
    await tagger.close()


class ServiceOf:
    """The service of a box, spoken to as if it were a core."""

    def __init__(self, core: Id900) -> None:
        self.core = core
        self.on_output = lambda: None
        self._output = b""

    @property
    def now_ps(self) -> int:
        return self.core.now_ps

    def advance(self, now_ps: int) -> None:
        self.core.advance(now_ps)

    def session(self) -> "ServiceOf":
        return self

    def receive(self, data: bytes) -> None:
        self._output += self.core.link.execute(data.decode().strip()).encode() + b"\n"
        self.on_output()

    def take(self, limit: int) -> bytes:
        data, self._output = self._output[:limit], self._output[limit:]
        return data


level = st.floats(-2.0, 2.0).map(lambda volts: f"{volts:.3f}") | st.sampled_from(["NIM", "TTL"])
disturbance = st.sampled_from(
    [
        b"INPU1:THRE 0.3",
        b"INPU3:ENAB OFF",
        b"RAW2:STOP:LINK NONE",
        b"REC:NUM INF;PLAY",
        b"DELA4:VALU 77",
        b"*RST",
        b"NONSENSE?",
    ]
)


@agreement("idq-id900")
@given(steps=st.lists(level | disturbance, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_the_drivers_view_is_the_cores_state_whatever_was_done_before(
    model: str, steps: "list[str | bytes]"
) -> None:
    """Commands of another program between ours: after each of ours the box is as we say."""

    async def play() -> None:
        core = Id900("SN-1")
        other = Client(core)
        device: Any = make_device(model, "zeromq:127.0.0.1:1?delays_ps=0,10,20,30", "it")
        device._wire.transport = DirectTransport(core)
        device._service.transport = DirectTransport(ServiceOf(core))
        await device.connect()
        for step in steps:
            if isinstance(step, bytes):
                other.ask(step + b"\n")
            else:
                await device.configure(level=step)
                wanted_v = {"NIM": -0.4, "TTL": 1.0}.get(step)
                wanted_v = float(step) if wanted_v is None else wanted_v
                for n, block in core._inputs.items():
                    assert block.enabled and abs(block.threshold_v - wanted_v) < 1e-6
                    assert block.edge == ("FALLing" if wanted_v < 0 else "RISIng")
                    assert core._way(core._raws[n].stop, n) == 10 * (n - 1)
                assert not core.streaming
            told = {n: r.value for n, r in (await device.readings()).items()}
            held = {f"threshold_{n}_v": block.threshold_v for n, block in core._inputs.items()}
            assert told == pytest.approx(held, abs=1e-6)
        await device.close()

    asyncio.run(play())

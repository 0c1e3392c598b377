"""The time controller on its sockets: runs, what is lost in them, and what befalls its wires."""

import asyncio
import contextlib
import gc
from typing import Any

import bench as lab
import numpy as np
import pytest
import zmq
import zmq.asyncio
from agreement import agreement
from bench import Bench
from direct import Client, DirectTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Quality, Run
from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceMismatch,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import TraceEntry, Wire
from qkd_drivers.models.idq_id900 import IdqId900
from qkd_drivers.models.idq_id900_run import DEAD_PS, Id900Run
from qkd_drivers.scan import host_places, look
from qkd_firmware_sim.cores.id900 import Id900

RECORD_PS = 200_000_000_000


async def tagger_on(
    bench: Bench, rate_cps: float = 50_000, core: Id900 | None = None
) -> tuple[IdqId900, Id900, Any]:
    core = core or lab.id900()
    bench.rate_cps[core] = rate_cps
    address, wire = await bench.plug(core, front="zmtp")
    device = await open_device("idq-id900", address, "tagger")
    assert isinstance(device, IdqId900)
    await device.configure()
    return device, core, wire


async def collect(run: Run) -> tuple[np.ndarray, np.ndarray]:
    chunks = [tags async for tags in run]
    return (
        np.concatenate([tags.times_ps for tags in chunks]),
        np.concatenate([tags.channels for tags in chunks]),
    )


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


@pytest.mark.parametrize(
    ("fault", "size", "cause"),
    [
        ("slip", 2, "no whole tags"),
        ("slip", 8, "timestamps_count"),
        ("garble", 40, "lies"),
        ("truncate", 16, "timestamps_count"),
    ],
)
async def test_damage_to_the_stream_marks_the_run(
    bench: Bench, fault: str, size: int, cause: str
) -> None:
    """Torn, missing and impossible tags: told with their cause; the next run is clean."""
    tagger, _, wire = await tagger_on(bench)
    run = await tagger.start_run(0.4)
    await wire.apply(fault, size=size)
    async for _ in run:
        pass
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tagger" in run.verdict.cause or "missing" in run.verdict.cause
    assert cause in run.verdict.cause
    again = await tagger.start_run(0.2)
    await collect(again)
    assert again.verdict is not None and again.verdict.quality is Quality.CLEAN
    await tagger.close()


async def test_a_frame_that_never_comes_marks_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that falls silent is lost in bounded time."""
    monkeypatch.setattr("qkd_drivers.models.idq_id900_run._SILENCE_S", 0.3)
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.3)
    tagger, _, wire = await tagger_on(bench)
    run = await tagger.start_run(5)
    await wire.apply("silence")
    async with asyncio.timeout(10):
        async for _ in run:
            pass
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "nothing came" in run.verdict.cause
    await wire.apply("restore")
    assert (await tagger.readings()).keys() == {f"threshold_{n}_v" for n in (1, 2, 3, 4)}
    await tagger.close()


async def test_a_cut_wire_ends_the_run_as_lost(bench: Bench) -> None:
    """At once, and not after the silence of a frame that is due."""
    tagger, _, wire = await tagger_on(bench)
    run = await tagger.start_run(60)
    async for _ in run:
        await wire.apply("cut")
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tagger" in run.verdict.cause and "closed the connection" in run.verdict.cause
    await tagger.close()


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


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("record_s=0.1", r"0\.2 or more"),
        ("integration=us", "ps or ns"),
        ("delays_ps=1,2", "four delays"),
        ("disorder_ps=-1", "want 0 to 100000000"),
        ("stream_port=x", "invalid literal"),
        ("service=host", "zeromq:host:port"),
    ],
)
def test_a_wrong_option_of_the_address_is_named(option: str, complaint: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ValueError, match=complaint):
        IdqId900(f"zeromq:10.0.0.1:5555?{option}", "tagger")


async def test_an_address_without_a_service_names_it(bench: Bench) -> None:
    """The box answers; the service on the host was never started."""
    core = lab.id900()
    address, _ = await bench.plug(core, front="zmtp")
    box = address.partition("?")[0]
    tagger = await open_device("idq-id900", f"{box}?service=127.0.0.1:1", "tagger")
    assert isinstance(tagger, IdqId900)
    with pytest.raises(DeviceRefused, match="its service"):
        await tagger.configure()
    await tagger.close()


async def test_another_instrument_at_the_address_is_named() -> None:
    """Something else that answers over ZeroMQ."""
    context = zmq.asyncio.Context()
    server = context.socket(zmq.REP)
    port = server.bind_to_random_port("tcp://127.0.0.1")

    async def answer() -> None:
        while True:
            await server.recv()
            await server.send(b"Acme,Toaster,1,2")

    answering = asyncio.create_task(answer())
    with pytest.raises(DeviceMismatch, match="Toaster"):
        await open_device("idq-id900", f"zeromq:127.0.0.1:{port}", "tagger")
    answering.cancel()
    await asyncio.wait({answering})
    context.destroy(linger=0)


async def test_an_id1000_is_welcome(bench: Bench) -> None:
    """The two models speak one language."""
    core = lab.id900()
    core.identity = "IDQuantique,ID1000,T1000-2,2.0"
    address, _ = await bench.plug(core, front="zmtp")
    tagger = await open_device("idq-id900", address, "tagger")
    assert tagger.identity.model == "ID1000" and tagger.identity.serial_number == "T1000-2"
    await tagger.close()


async def test_requests_of_box_and_service_are_traced(bench: Bench) -> None:
    """Both conversations go to the trace, each under its own name."""
    trace: list[TraceEntry] = []
    address, wire = await bench.plug(lab.id900(), front="zmtp")
    tagger = await open_device("idq-id900", address, "tagger", trace.append)
    assert isinstance(tagger, IdqId900)
    await tagger.configure()
    assert {entry.device for entry in trace} == {"tagger", "tagger: its service"}
    await wire.apply("cut")
    with pytest.raises(DeviceError):
        await tagger.configure()
    assert trace[-1].direction == "!"
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


async def test_a_scan_of_its_host_finds_it(bench: Bench) -> None:
    """Without its service, which may not have been started yet."""
    address, _ = await bench.plug(lab.id900(), front="zmtp")
    box = address.removeprefix("zeromq:").partition("?")[0]
    (place,) = host_places([box])
    (found,) = await look(place, patience_s=10)
    assert found.model is not None and found.model.name == "idq-id900"
    assert found.address == f"zeromq:{box}"
    assert "zeromq:10.0.0.9:5555" in [place.name for place in host_places(["10.0.0.9"])]


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

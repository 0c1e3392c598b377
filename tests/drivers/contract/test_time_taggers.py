"""What every time tagger does: bounded runs with a verdict."""

import asyncio
from typing import Any

import bench as lab
import numpy as np
import pytest
from agreement import agreement
from bench import Bench
from direct import driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import Quality, Run, TimeTagger
from qkd_drivers.errors import DeviceRefused
from qkd_drivers.models import s15_tdc1
from qkd_firmware_sim.frontends.faults import FAULTS as WIRE_FAULTS


async def tagger_on(bench: Bench, rate_cps: float) -> tuple[TimeTagger, Any, Any]:
    core = lab.tdc1()
    bench.rate_cps[core] = rate_cps
    address, wire = await bench.plug(core)
    device = await open_device("s15-tdc1", address, "tagger")
    assert isinstance(device, TimeTagger)
    return device, core, wire


async def collect(run: Run) -> tuple[np.ndarray, np.ndarray]:
    chunks = [tags async for tags in run]
    return (
        np.concatenate([tags.times_ps for tags in chunks]),
        np.concatenate([tags.channels for tags in chunks]),
    )


async def test_a_run_delivers_every_pulse_at_its_time(bench: Bench) -> None:
    tagger, _, _ = await tagger_on(bench, 100_000)
    run = await tagger.start_run(0.5)
    assert run.verdict is None
    times, channels = await collect(run)
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    assert run.end_ps >= 0.5e12 and run.utc_ns > 0
    assert times[0] == 0
    assert set(np.diff(times)) == {10_000_000}
    assert set(np.diff(channels.astype(int))) == {1, -3}
    await tagger.close()


async def test_a_dark_run_ends_in_time_and_clean(bench: Bench) -> None:
    tagger, _, _ = await tagger_on(bench, 0)
    run = await tagger.start_run(0.4)
    assert [tags async for tags in run] == []
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    assert run.end_ps >= 0.4e12
    await tagger.close()


async def test_runs_follow_each_other(bench: Bench) -> None:
    tagger, _, _ = await tagger_on(bench, 50_000)
    for _ in range(3):
        run = await tagger.start_run(0.1)
        times, _ = await collect(run)
        assert len(times) >= 5000
        assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    await tagger.close()


async def test_an_overflow_marks_the_run(bench: Bench) -> None:
    tagger, core, _ = await tagger_on(bench, 50_000)
    run = await tagger.start_run(0.3)
    async for _ in run:
        core.overflow()
    assert run.verdict is not None and run.verdict.quality is Quality.OVERFLOW
    assert "dropped" in run.verdict.cause
    await tagger.close()


async def test_a_byte_slip_marks_the_run(bench: Bench) -> None:
    tagger, _, wire = await tagger_on(bench, 50_000)
    run = await tagger.start_run(0.5)
    slipped = False
    async for _ in run:
        if not slipped:
            await wire.apply("slip", size=2)
            slipped = True
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert (await tagger.counts(0.01)) is not None
    await tagger.close()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    # What befalls the stream, and what its run says: whole, unmarked loss, or lost.
    "refuse": ({}, "whole"),
    "busy": ({}, "lost"),
    "cut": ({}, "lost"),
    "hang_up": ({"size": 3}, "lost"),
    "delay": ({"delay_s": 0.05}, "whole"),
    "glue": ({"delay_s": 0.05}, "whole"),
    "split": ({"size": 7, "delay_s": 0.0005}, "whole"),
    "drop": ({}, "unmarked"),
    "truncate": ({"size": 30}, "lost"),
    "slip": ({"size": 1}, "lost"),
    "garble": ({"size": 64}, "lost"),
    "noise": ({"size": 6}, "lost"),
    "duplicate": ({}, "lost"),
    "terminator": ({"text": ";"}, "lost"),
    "echo": ({}, "whole"),
    "unsolicited": ({"text": "HELLO"}, "lost"),
    "complain": ({"text": "Error"}, "whole"),
    "silence": ({}, "lost"),
}


def test_every_fault_that_a_serial_port_can_show_is_tried_on_a_stream() -> None:
    assert FAULTS.keys() == {n for n, f in WIRE_FAULTS.items() if "pty" in f.fronts} - {"restore"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_tags_around_a_fault_are_marked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A run that reads clean holds every pulse at its time, and the wire works again after.

    One fault cannot be told by this tagger: where whole words are lost on the way, its stream has
    neither number nor sum to tell by. It is loss of tags, never tags at a wrong time.
    """
    monkeypatch.setattr(s15_tdc1, "_SILENCE_S", 0.5)
    options, wanted = FAULTS[fault]
    tagger, _, wire = await tagger_on(bench, 50_000)
    run = await tagger.start_run(0.4)
    chunks = []
    async for tags in run:
        chunks.append(tags)
        if len(chunks) == 1:
            await wire.apply(fault, **options)
        elif len(chunks) == 4 and fault != "silence":
            await wire.apply("restore")
    assert run.verdict is not None
    times = np.concatenate([tags.times_ps for tags in chunks])
    channels = np.concatenate([tags.channels for tags in chunks]).astype(int)
    if wanted == "lost":
        assert run.verdict.quality is Quality.LOST and run.verdict.cause
        assert run.end_ps < 2e12, "no time beyond the fault is believed"
    else:
        assert run.verdict.quality is Quality.CLEAN
        steps = np.diff(times)
        assert not np.any(steps % 20_000_000) and np.all(steps > 0)
        assert np.array_equal(channels, (times // 20_000_000 + channels[0] - 1) % 4 + 1)
        assert np.all(steps == 20_000_000) == (wanted == "whole")
    await wire.apply("restore")
    await wire.settle()
    await tagger.close()
    await tagger.connect()
    assert sum(await tagger.counts(0.02)) > 0
    await tagger.close()


@pytest.mark.parametrize(("size", "told"), [(1, False), (2, False), (3, True), (4, True)])
async def test_a_garbled_word_is_told_or_costs_one_tag(bench: Bench, size: int, told: bool) -> None:
    """The simulator's garbling makes a dummy of an event, which may come at any time; what moves
    it farther than the box's own disorder is told."""
    tagger, _, wire = await tagger_on(bench, 50_000)
    run = await tagger.start_run(0.5)
    chunks = []
    async for tags in run:
        if not chunks:
            await wire.apply("garble", size=size)
        chunks.append(tags.times_ps)
    assert run.verdict is not None
    assert run.verdict.quality is (Quality.LOST if told else Quality.CLEAN)
    if not told:
        steps = np.diff(np.concatenate(chunks))
        assert np.unique(steps).tolist() == [20_000_000, 40_000_000]
        assert np.count_nonzero(steps == 40_000_000) == 1
    await tagger.close()


async def test_a_cut_wire_ends_the_run_as_lost(bench: Bench) -> None:
    tagger, _, wire = await tagger_on(bench, 50_000)
    run = await tagger.start_run(5)
    async for _ in run:
        await wire.apply("cut")
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tagger" in run.verdict.cause and "unplugged" in run.verdict.cause
    await tagger.close()


async def test_leaving_a_run_stops_the_stream(bench: Bench) -> None:
    tagger, core, _ = await tagger_on(bench, 50_000)

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
    await lab.eventually(lambda: not core.streaming)
    assert sum(await tagger.counts(0.1)) > 0
    await tagger.close()


async def test_a_stream_left_running_by_another_program_is_stopped(bench: Bench) -> None:
    tagger, core, _ = await tagger_on(bench, 50_000)
    run = await tagger.start_run(60)
    async for _ in run:
        break
    await tagger.close()  # as a killed program leaves it
    assert core.streaming
    await tagger.connect()
    assert not core.streaming
    await tagger.close()


async def test_counts_match_the_rate_and_the_gate(bench: Bench) -> None:
    tagger, _, _ = await tagger_on(bench, 40_000)
    counts = await tagger.counts(0.2)
    assert counts == pytest.approx((2000,) * 4, abs=2)
    await tagger.counts(33.0 / 1000)
    await tagger.close()


async def test_settings_are_checked(bench: Bench) -> None:
    tagger, _, _ = await tagger_on(bench, 40_000)
    await tagger.configure(level="-0.4", reference_clock="internal")
    with pytest.raises(DeviceRefused, match="external clock"):
        await tagger.configure(reference_clock="external")
    for level in ("ECL", "-4", "1e1"):
        with pytest.raises(ValueError, match="NIM"):
            await tagger.configure(level=level)
    # A threshold on the wrong side of the pulses: the stream has words, but no tags.
    await tagger.configure(level="TTL")
    run = await tagger.start_run(0.2)
    assert [tags async for tags in run] == []
    await tagger.close()


PERIOD_PS = 10_000_000
LEVELS = st.sampled_from(["NIM", "TTL"]) | st.integers(-3300, 3300).map(
    lambda mv: f"{mv / 1e3:.3f}"
)
VOLTS = {"NIM": -0.5, "TTL": 1.2}


def pulsed(core: Any) -> Any:
    """The core with a pulse at each input in turn, one every PERIOD_PS."""
    advance = core.advance

    def advance_with_pulses(now_ps: int) -> None:
        ticks = np.arange(-(-core.now_ps // PERIOD_PS), -(-now_ps // PERIOD_PS), dtype=np.int64)
        core.clicks(ticks * PERIOD_PS, (ticks % 4 + 1).astype(np.uint8))
        advance(now_ps)

    core.advance = advance_with_pulses
    return core


@agreement("s15-tdc1")
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(
                st.just("configure"), st.tuples(LEVELS, st.sampled_from(["auto", "internal"]))
            ),
            st.tuples(st.just("counts"), st.integers(1, 200)),
            st.tuples(st.just("run"), st.integers(1, 20)),
            st.tuples(st.just("overflow"), st.integers(5, 20)),
            st.tuples(
                st.just("another program"),
                st.sampled_from(
                    ["ttl;", "neg 3;", "time 700;", "pairs;", "time 0;timestamp;counts?;"]
                ),
            ),
            st.tuples(st.sampled_from(["power cycle", "lose settings", "reconnect"]), st.none()),
        ),
        max_size=8,
    )
)
def test_the_view_of_a_tagger_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    """What it was told holds in the box, what pulses came is counted, and every loss is known."""

    async def play() -> None:
        core = pulsed(lab.simulated(model))
        tagger = driver_on(model, core)
        await tagger.connect()
        level = "NIM"  # of the driver's runs, until it is told another
        for what, value in steps:
            match what:
                case "configure":
                    level, clock = value
                    await tagger.configure(level=level, reference_clock=clock)
                    assert core._level_v == pytest.approx(VOLTS.get(level) or float(level))
                    assert core._reference == {"auto": 0, "internal": 2}[clock]
                case "counts":
                    pulses = value * 10**9 / PERIOD_PS / 4 if core._level_fits() else 0
                    assert await tagger.counts(value / 1000) == pytest.approx((pulses,) * 4, abs=1)
                    assert core._gate_ms == value and not core.wants_clicks
                case "run" | "overflow":
                    await check_run(tagger, core, value / 1000, spoilt=what == "overflow")
                    assert core._level_v == pytest.approx(VOLTS.get(level) or float(level))
                case "another program":
                    core.receive(value.encode())
                case "power cycle":
                    core.power_cycle()
                case "lose settings":
                    core.lose_settings()
                case "reconnect":
                    await tagger.close()
                    await tagger.connect()
        await tagger.close()

    with pytest.MonkeyPatch.context() as patch:
        for pause in ("PACE_S", "_FLUSH_AFTER_S", "_FIRST_FLUSH_S"):
            patch.setattr(s15_tdc1, pause, 0.0)
        asyncio.run(play())


async def check_run(tagger: Any, core: Any, duration_s: float, *, spoilt: bool) -> None:
    """A run, in the midst of which the box loses tags if it shall be spoilt."""
    run = await tagger.start_run(duration_s)
    times: list[int] = []
    async for tags in run:
        times += tags.times_ps.tolist()
        if spoilt:
            core.overflow()
    seen = core._level_fits()
    assert bool(times) == seen and not core.wants_clicks
    assert run.end_ps >= duration_s * 1e12
    if spoilt and seen:
        assert run.verdict.quality is Quality.OVERFLOW
    else:
        assert run.verdict.quality is Quality.CLEAN
        assert set(np.diff(times)) <= {PERIOD_PS}
        assert len(times) == (pytest.approx(run.end_ps / PERIOD_PS, abs=1) if seen else 0)

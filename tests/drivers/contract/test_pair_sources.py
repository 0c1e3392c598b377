"""What every driver of a pair source does."""

import asyncio
from typing import Any

import bench as lab
import numpy as np
import pytest
from agreement import agreement
from bench import Bench
from direct import currents_seen, driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import PairSource
from qkd_drivers.errors import DeviceRefused, DeviceTripped
from qkd_drivers.ramp import STEP_S

MODELS = [("qubitekk-qes", "?pause_ms=0")]
every_source = pytest.mark.parametrize(("model", "options"), MODELS)


async def source_on(bench: Bench, model: str, options: str) -> tuple[PairSource, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core)
    device = await open_device(model, address + options, "source")
    assert isinstance(device, PairSource)
    return device, core


@every_source
async def test_a_source_holds_its_set_points(bench: Bench, model: str, options: str) -> None:
    source, core = await source_on(bench, model, options)
    await source.set_temperature_c(45.0)
    await source.set_current_a(0.06)
    assert core.current_a == 0 and not await source.pump()
    await source.set_pump(True)
    assert await source.pump() and core.current_a == pytest.approx(0.06)
    assert await source.current_set_point_a() == pytest.approx(0.06)
    assert await source.temperature_set_point_c() == pytest.approx(45)
    await lab.eventually(lambda: abs(core.crystal_c - 45) < 0.05)
    assert await source.temperature_c() == pytest.approx(45, abs=0.1)
    with pytest.raises(ValueError, match="temperature_c"):
        await source.set_temperature_c(80.0)
    with pytest.raises(ValueError, match="current_a"):
        await source.set_current_a(0.5)
    await source.set_pump(False)
    assert core.current_a == 0
    await source.close()


@every_source
async def test_the_current_of_a_source_moves_no_faster_than_its_ramp(
    model: str, options: str
) -> None:
    core = lab.simulated(model)
    source = driver_on(model, core, options)
    await source.connect()
    loop, low_a, high_a, rate = asyncio.get_running_loop(), 0.03, 0.06, 0.1
    await source.set_current_a(low_a)
    await source.set_pump(True)
    seen = currents_seen(source, core)
    for target_a in (high_a, low_a):
        begun_s = loop.time()
        await source.set_current_a(target_a, ramp_a_per_s=rate)
        assert loop.time() - begun_s > 0.7 * (high_a - low_a) / rate
        assert core.current_a == pytest.approx(target_a)
    steps = np.diff(seen)
    assert max(abs(steps)) <= rate * STEP_S + 1e-3
    assert np.count_nonzero(np.diff(np.sign(steps[steps != 0]))) == 1, "once up, once down"
    await source.close()


@every_source
async def test_a_fault_keeps_the_pump_off_and_says_so(
    bench: Bench, model: str, options: str
) -> None:
    core = lab.simulated(model)
    source = driver_on(model, core, options)
    await source.connect()
    await source.set_pump(True)
    core.warm_by(500)
    assert not await source.pump()
    assert "temperature" in await source.trip_cause()
    with pytest.raises(DeviceTripped, match="temperature"):
        await source.set_pump(True)
    assert core.current_a == 0
    await source.close()


@agreement(*dict(MODELS))
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("temperature"), st.integers(10_000, 50_000).map(lambda n: n / 1000)),
            st.tuples(st.just("current"), st.integers(20, 120).map(lambda n: n / 1000)),
            st.tuples(st.just("pump"), st.booleans()),
            st.tuples(st.sampled_from(["hot", "wait", "power cycle", "reconnect"]), st.none()),
        ),
        max_size=12,
    )
)
def test_the_view_of_a_source_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        source = driver_on(model, core, dict(MODELS)[model])
        await source.connect()
        for what, value in steps:
            was_lit = await source.pump()
            match what:
                case "temperature":
                    await source.set_temperature_c(value)
                    assert await source.temperature_set_point_c() == pytest.approx(value)
                case "current":
                    await source.set_current_a(value)
                    assert await source.current_set_point_a() == pytest.approx(value)
                case "pump":
                    try:
                        await source.set_pump(value)
                    except DeviceTripped:
                        assert value and await source.trip_cause()
                case "hot":
                    core.warm_by(500)
                case "wait":
                    core.advance(core.now_ps + 10**12)
                case "power cycle":
                    core.power_cycle()
                case "reconnect":
                    await source.close()
                    await source.connect()
            lit = await source.pump()
            assert core.current_a == pytest.approx(await source.current_set_point_a() * lit)
            assert was_lit or not lit or what == "pump", "nothing else lights it"
        await source.close()

    asyncio.run(play())


async def test_a_qes_that_complains_is_told_and_no_answer_goes_astray(bench: Bench) -> None:
    source, core = await source_on(bench, "qubitekk-qes", "?pause_ms=50")
    answer = core.answer
    core.answer = lambda line: "Unknown Command" if line.startswith(":") else answer(line)
    with pytest.raises(DeviceRefused, match=r"source: ':SETT 30000'.*still holds 25"):
        await source.set_temperature_c(30.0)
    with pytest.raises(DeviceRefused, match=r"source: ':PLON'"):
        await source.set_pump(True)
    assert await source.temperature_set_point_c() == 25
    await source.close()


async def test_a_qes_may_remember_its_current_and_takes_whole_milliamperes() -> None:
    core = lab.simulated("qubitekk-qes")
    asked: list[str] = []
    answer = core.answer
    core.answer = lambda line: asked.append(line) or answer(line)
    source = driver_on("qubitekk-qes", core, "?pause_ms=0&set_point=remembered")
    await source.connect()
    await source.set_current_a(0.05)
    assert await source.current_set_point_a() == pytest.approx(0.05)
    assert "PLDC?" not in asked
    with pytest.raises(ValueError, match="multiple"):
        await source.set_current_a(0.0505)
    for options in ("pause_ms=x", "set_point=guessed"):
        with pytest.raises(ValueError, match="pause_ms"):
            make_device("qubitekk-qes", f"serial:/dev/ttyUSB0?{options}", "source")

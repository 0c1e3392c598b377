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
from qkd_drivers.models import s15_spdc
from qkd_drivers.ramp import STEP_S

BOARD = "s15-spdc-source"
MODELS = [("qubitekk-qes", "?pause_ms=0"), (BOARD, "")]
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
    await source.set_temperature_control(True)
    assert await source.temperature_control()
    await source.set_pump(True)
    assert await source.pump() and core.current_a == pytest.approx(0.06)
    assert await source.current_set_point_a() == pytest.approx(0.06)
    assert await source.temperature_set_point_c() == pytest.approx(45)
    await lab.eventually(lambda: abs(core.crystal_c - 45) < 0.05)
    assert await source.temperature_c() == pytest.approx(45, abs=0.1)
    with pytest.raises(ValueError, match="temperature_c"):
        await source.set_temperature_c(101.0)
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
    await source.set_temperature_control(True)
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


async def test_a_fault_keeps_the_pump_off_and_says_so() -> None:
    """Of the QES: a board of S-Fifteen tells of none."""
    core = lab.simulated("qubitekk-qes")
    source = driver_on("qubitekk-qes", core, "?pause_ms=0")
    await source.connect()
    await source.set_pump(True)
    core.warm_by(500)
    assert not await source.pump()
    assert "temperature" in await source.trip_cause()
    with pytest.raises(DeviceTripped, match="temperature"):
        await source.set_pump(True)
    assert core.current_a == 0
    await source.close()


@agreement("qubitekk-qes")
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


async def test_a_qes_that_has_no_serial_number_is_a_qes_all_the_same() -> None:
    core = lab.simulated("qubitekk-qes")
    answer = core.answer
    core.answer = lambda line: "Unknown Command" if line == "PLID?" else answer(line)
    source = driver_on("qubitekk-qes", core, "?pause_ms=0")
    await source.connect()
    assert source.identity.serial_number == "" and source.identity.firmware
    await source.set_pump(True)
    assert core.current_a > 0
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


async def test_a_qes_that_is_found_lit_again_is_ramped_from_the_current_it_has() -> None:
    """Where its current is remembered; another box's is not taken for it."""
    core = lab.simulated("qubitekk-qes")
    source = driver_on("qubitekk-qes", core, "?pause_ms=0&set_point=remembered")
    await source.connect()
    await source.set_current_a(0.06)
    await source.set_pump(True)
    await source.close()
    await source.connect()
    seen = currents_seen(source, core)
    await source.set_current_a(0.05, ramp_a_per_s=0.1)
    assert max(abs(np.diff(seen))) <= 0.1 * STEP_S + 1e-3
    await source.close()
    answer = core.answer
    core.answer = lambda line: "another" if line == "PLID?" else answer(line)
    await source.connect()
    assert await source.current_set_point_a() == 0
    await source.close()


def board() -> tuple[Any, Any]:
    core = lab.simulated(BOARD)
    return driver_on(BOARD, core), core


@pytest.fixture
def quick_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps, with hardly a pause between them."""
    monkeypatch.setattr(s15_spdc, "_STEP_S", 1e-6)


async def test_a_board_is_ramped_as_its_maker_does_it_however_fast_it_is_asked() -> None:
    """A milliampere each 50 ms, from nothing when it lights."""
    source, core = board()
    await source.connect()
    await source.set_temperature_control(True)
    await source.set_current_a(0.006)
    seen = currents_seen(source, core)
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await source.set_pump(True)
    for asked in (0.0, 10.0):
        await source.set_current_a(0.009 if asked else 0.002, ramp_a_per_s=asked)
    assert loop.time() - begun_s > 0.9 * 0.05 * (5 + 3 + 6)
    assert max(abs(np.diff(seen))) == pytest.approx(1e-3)
    assert max(seen) == pytest.approx(9e-3) and core.current_a == pytest.approx(9e-3)
    await source.close()


async def test_a_board_switches_in_the_makers_order_and_off_at_once(quick_ramp: None) -> None:
    source, core = board()
    await source.connect()
    await source.set_current_a(0.05)
    with pytest.raises(DeviceRefused, match="without temperature control"):
        await source.set_pump(True)
    await source.set_temperature_control(True)
    told: list[str] = []
    receive = core.receive
    core.receive = lambda data: told.append(data.decode()) or receive(data)
    await source.set_pump(True)
    orders = [text.split()[0] for text in told if "?" not in text]
    assert orders[:4] == ["LCURRENT", "POWER", "ON", "LCURRENT"]
    assert core._now.power == 3 and core.current_a == pytest.approx(0.05)
    with pytest.raises(DeviceRefused, match="while the pump is on"):
        await source.set_temperature_control(False)
    told.clear()
    await source.set_pump(False)
    assert "LCURRENT" not in "".join(told), "there is no time for a ramp in trouble"
    assert core.current_a == 0 and core._now.power == 1
    await source.set_temperature_control(False)
    assert core._now.power == 0 and not core._now.heater_loop and not core._now.peltier_loop
    await source.close()


async def test_a_board_whose_laser_does_not_light_is_left_without_its_supply() -> None:
    source, core = board()
    await source.connect()
    await source.set_temperature_control(True)
    core._actions["on"] = lambda: None
    with pytest.raises(DeviceTripped, match="it: the pump stays off"):
        await source.set_pump(True)
    assert core._now.power == 1
    await source.close()


async def test_a_lit_board_tells_whether_its_loops_run(quick_ramp: None) -> None:
    source, core = board()
    await source.connect()
    await source.set_temperature_control(True)
    await source.set_pump(True)
    assert await source.temperature_control()
    core.receive(b"ploop 0;")
    assert await source.pump() and not await source.temperature_control()
    await source.close()


async def test_a_limit_is_held_and_never_put_below_the_current(quick_ramp: None) -> None:
    source, core = board()
    await source.connect()
    await source.set_current_limit_a(0.08)
    assert (await source.limits())["current_a"].maximum == pytest.approx(0.08)
    with pytest.raises(ValueError, match="current_a"):
        await source.set_current_a(0.081)
    await source.set_current_a(0.07)
    with pytest.raises(DeviceRefused, match="lower that first"):
        await source.set_current_limit_a(0.06)
    with pytest.raises(ValueError, match="current_limit_a"):
        await source.set_current_limit_a(0.098)
    assert core._now.laser_limit_ma == pytest.approx(80)
    await source.close()


async def test_what_a_box_keeps_to_itself_is_refused_by_name() -> None:
    source = driver_on("qubitekk-qes", lab.simulated("qubitekk-qes"), "?pause_ms=0")
    for name in ("diode_temperature_c", "current_limit_a", "ramp_k_per_s"):
        with pytest.raises(DeviceRefused, match=f"it: {name} is kept by the box"):
            await getattr(source, f"set_{name}")(1.0)
        with pytest.raises(DeviceRefused, match=name):
            await getattr(source, name)()


def thousandths(low: int, high: int) -> Any:
    return st.integers(low, high).map(lambda n: n / 1000)


@agreement(BOARD)
@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("temperature"), thousandths(20_000, 100_000)),
            st.tuples(st.just("diode"), thousandths(20_000, 50_000)),
            st.tuples(st.just("heating"), thousandths(0, 1000)),
            st.tuples(st.just("current"), thousandths(0, 97)),
            st.tuples(st.just("limit"), thousandths(0, 97)),
            st.tuples(st.sampled_from(["pump", "control"]), st.booleans()),
            st.tuples(
                st.just("another program"),
                st.sampled_from(["on;", "power 3;on;", "power 0;", "hloop 0;", "ploop 0;", "off;"]),
            ),
            st.tuples(
                st.sampled_from(["wait", "power cycle", "lose settings", "reconnect"]), st.none()
            ),
        ),
        max_size=20,
    )
)
def test_the_view_of_a_board_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    """Whatever another program did; it lights by no other order, and its current makes no jump."""

    async def play() -> None:
        source, core = board()
        await source.connect()
        for what, value in steps:
            was_lit, safe = core.current_a > 0, await source.temperature_control()
            seen = currents_seen(source, core)
            now = core._now
            match what:
                case "temperature":
                    await source.set_temperature_c(value)
                    assert now.heater_set_c == value
                case "diode":
                    await source.set_diode_temperature_c(value)
                    assert now.peltier_set_c == value
                case "heating":
                    await source.set_ramp_k_per_s(value)
                    assert now.heater_rate == value
                case "current":
                    held = now.laser_ma
                    try:
                        await source.set_current_a(value)
                        held = 1000 * value
                    except ValueError:
                        assert 1000 * value > now.laser_limit_ma
                    assert now.laser_ma == pytest.approx(held)
                case "limit":
                    held = now.laser_limit_ma
                    try:
                        await source.set_current_limit_a(value)
                        held = 1000 * value
                    except DeviceRefused:
                        assert 1000 * value < now.laser_ma
                    assert now.laser_limit_ma == pytest.approx(held)
                case "pump":
                    try:
                        await source.set_pump(value)
                        assert await source.pump() == value
                    except DeviceRefused:
                        assert value and not safe
                case "control":
                    try:
                        await source.set_temperature_control(value)
                        assert now.heater_loop == now.peltier_loop == value
                    except DeviceRefused:
                        assert not value and await source.pump()
                case "another program":
                    core.receive(value.encode())
                case "wait":
                    core.advance(core.now_ps + 10**12)
                case "power cycle":
                    core.power_cycle()
                case "lose settings":
                    core.lose_settings()
                case "reconnect":
                    await source.close()
                    await source.connect()
            if what in ("current", "pump") and value:
                assert max(abs(np.diff(seen))) < 1.001e-3
            now = core._now
            assert was_lit or not core.current_a or what in ("pump", "current", "another program")
            assert core.current_a == pytest.approx(
                await source.current_set_point_a() * await source.pump()
            )
            assert await source.temperature_set_point_c() == now.heater_set_c
            assert await source.current_limit_a() == pytest.approx(now.laser_limit_ma / 1000)
            assert await source.ramp_k_per_s() == now.heater_rate
            assert await source.temperature_control() == (
                now.heater_loop and now.peltier_loop and bool(now.power & 1)
            )
            assert await source.temperature_c() == pytest.approx(core.crystal_c, abs=1e-3)
            assert await source.diode_temperature_c() == pytest.approx(core.diode_c, abs=1e-3)
        await source.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s15_spdc, "_STEP_S", 1e-6)
        asyncio.run(play())

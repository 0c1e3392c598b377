"""What every driver of a laser head does."""

import asyncio
import re
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import LaserHead
from qkd_drivers.errors import DeviceRefused, DeviceTimeout, DeviceTripped
from qkd_drivers.framing import Wire
from qkd_firmware_sim.cores.cobolt06 import Cobolt06

MODELS = ["cobolt-06", "coherent-obis"]
every_head = pytest.mark.parametrize("model", MODELS)


async def head_on(bench: Bench, model: str) -> tuple[LaserHead, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core)
    device = await open_device(model, address, "pump")
    assert isinstance(device, LaserHead)
    return device, core


@every_head
async def test_a_head_holds_its_power(bench: Bench, model: str) -> None:
    head, core = await head_on(bench, model)
    assert not await head.laser() and core.current_a == 0
    await head.set_power_w(0.035)
    assert not await head.laser() and core.current_a == 0
    await head.set_laser(True)
    await lab.eventually(lambda: core.light_w == pytest.approx(0.035))
    assert await head.power_set_point_w() == pytest.approx(0.035)
    assert await head.power_w() == pytest.approx(0.035)
    assert (await head.readings())["current_a"].value == pytest.approx(core.current_a)
    with pytest.raises(ValueError, match="power_w"):
        await head.set_power_w(10)
    await head.set_laser(False)
    assert not await head.laser() and core.current_a == 0
    await head.close()


@pytest.mark.parametrize(
    ("model", "revision"), [*((model, "") for model in MODELS), ("coherent-obis", "lock-ok")]
)
async def test_an_open_interlock_trips_a_head_and_says_so(
    bench: Bench, model: str, revision: str
) -> None:
    head, core = await head_on(bench, model)
    core.revision = revision
    await head.set_power_w(0.035)
    await head.set_laser(True)
    core.set_interlock(True)
    assert not await head.laser()
    assert "interlock" in await head.trip_cause()
    with pytest.raises(DeviceTripped, match="interlock"):
        await head.set_laser(True)
    core.set_interlock(False)
    assert not await head.laser() and core.current_a == 0, "nothing comes on by itself"
    await head.set_laser(True)
    assert await head.trip_cause() == ""
    await head.close()


@agreement(*MODELS)
@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("power"), st.floats(0.001, 0.05).map(lambda w: round(w, 4))),
            st.tuples(st.sampled_from(["laser", "interlock"]), st.booleans()),
            st.tuples(st.sampled_from(["power cycle", "reconnect"]), st.none()),
        ),
        max_size=12,
    )
)
def test_the_view_of_a_head_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        head = driver_on(model, core)
        await head.connect()
        interlock_open = False
        for what, value in steps:
            was_lit = await head.laser()
            match what:
                case "power":
                    await head.set_power_w(value)
                case "laser":
                    try:
                        await head.set_laser(value)
                    except DeviceTripped:
                        assert value and interlock_open
                case "interlock":
                    interlock_open = value
                    core.set_interlock(value)
                case "power cycle":
                    core.power_cycle()
                case "reconnect":
                    await head.close()
                    await head.connect()
            set_point_w = await head.power_set_point_w()
            lit = await head.laser()
            assert core.current_a == 0 or lit
            assert (core.light_w > 0) == (lit and set_point_w > 0)
            assert core.light_w == pytest.approx(set_point_w if lit else 0.0)
            assert await head.power_w() == pytest.approx(core.light_w, abs=1e-6)
            assert bool(await head.trip_cause()) or not interlock_open
            assert not (lit and interlock_open)
            assert was_lit or not lit or what == "laser", "nothing else lights it"
        await head.close()

    asyncio.run(play())


async def test_autostart_of_a_cobolt_needs_its_key(bench: Bench) -> None:
    core = Cobolt06("7", autostart=True, thermal_speed=lab.THERMAL_SPEED)
    address, _ = await bench.plug(core)
    head = await open_device("cobolt-06", address, "pump")
    assert isinstance(head, LaserHead)
    await head.set_power_w(0.035)
    with pytest.raises(DeviceTripped, match="turned off and on"):
        await head.set_laser(True)
    core.set_key_lock(True)
    with pytest.raises(DeviceTripped, match="key"):
        await head.set_laser(True)
    core.set_key_lock(False)
    assert await head.laser() and await head.trip_cause() == ""
    await head.set_laser(False)
    await head.set_laser(True)
    await lab.eventually(lambda: core.light_w > 0)
    await head.close()


@every_head
async def test_the_unit_of_a_heads_current_is_what_its_address_says(model: str) -> None:
    for option, amperes in (("", 0.06), ("?current_unit=mA", 0.06), ("?current_unit=A", 60.0)):
        core = lab.simulated(model)
        head = driver_on(model, core, option)
        await head.connect()
        await head.set_power_w(0.035)
        await head.set_laser(True)
        assert (await head.readings())["current_a"].value == pytest.approx(amperes)
    with pytest.raises(ValueError, match="current_unit"):
        make_device(model, "serial:/dev/ttyUSB0?current_unit=kA", "pump")


async def test_an_obis_gets_its_handshake_back_and_says_what_it_refuses(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)
    head, core = await head_on(bench, "coherent-obis")
    await head.set_power_w(0.02)
    core.lose_settings()
    with pytest.raises(DeviceTimeout):
        await head.power_set_point_w()
    assert await head.power_set_point_w() == pytest.approx(0.001)
    core.warm_by(40)
    await lab.eventually(lambda: not core.answer("SYST:FAUL?").startswith("00000001"))
    core.answer = lambda line: "ERR-100"
    with pytest.raises(DeviceRefused, match=r"pump: 'SOUR:AM:STAT OFF'.*unsupported"):
        await head.set_laser(False)
    await head.close()


@every_head
async def test_a_hot_head_is_out_and_says_so(model: str) -> None:
    core = lab.simulated(model)
    head = driver_on(model, core)
    await head.connect()
    await head.set_power_w(0.035)
    await head.set_laser(True)
    core.warm_by(60)
    assert not await head.laser()
    assert re.search("temperature|warm", await head.trip_cause())
    await head.close()


@pytest.mark.parametrize(
    ("model", "question", "says"),
    [
        ("cobolt-06", "gmlp?", "Syntax error: illegal command"),
        ("coherent-obis", "SYST:FAUL?", "ERR-100"),
    ],
)
async def test_a_head_that_does_not_know_a_doubtful_question_is_driven_all_the_same(
    model: str, question: str, says: str
) -> None:
    """It is asked once a connection; a refusal that means something else is told."""
    core = lab.simulated(model)
    asked: list[str] = []
    answer = core.answer

    def firmware(line: str) -> Any:
        if line != question:
            return answer(line)
        asked.append(line)
        return says

    core.answer = firmware
    head = driver_on(model, core)
    await head.connect()
    for _ in range(3):
        await head.set_power_w(0.035)
        assert "power_w" in await head.limits()
        await head.set_laser(True)
        assert await head.trip_cause() == ""
    assert core.light_w == pytest.approx(0.035) and len(asked) == 1
    core.set_interlock(True)
    assert "interlock" in await head.trip_cause()
    await head.close()
    await head.connect()
    says = "ERR-200" if model == "coherent-obis" else "Error: not now"
    with pytest.raises(DeviceRefused, match=says):
        await (head.limits if model == "cobolt-06" else head.trip_cause)()
    await head.close()

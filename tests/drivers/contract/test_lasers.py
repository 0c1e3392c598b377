"""What every driver of a laser diode does."""

import asyncio
from contextlib import suppress
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import DirectTransport, driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import LaserDriver
from qkd_drivers.errors import DeviceRefused, DeviceTripped
from qkd_drivers.framing import Wire, srs
from qkd_firmware_sim.scpi.syntax import ScpiError

CASES = [
    ("thorlabs-itc4000", "tcp"),
    ("thorlabs-itc4000", "hislip"),
    ("srs-ldc500", "tcp"),
    ("srs-ldc500", "pty"),
]
lasers = pytest.mark.parametrize(("model", "front"), CASES)


async def laser_on(bench: Bench, model: str, front: str) -> tuple[LaserDriver, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core, front=front)
    device = await open_device(model, address, "pump")
    assert isinstance(device, LaserDriver)
    return device, core


async def warm(laser: LaserDriver) -> None:
    await laser.set_temperature_c(25.0)
    await laser.set_temperature_control(True)
    await laser.set_current_limit_a(0.08)


@lasers
async def test_a_laser_stays_off_without_temperature_control(
    bench: Bench, model: str, front: str
) -> None:
    laser, core = await laser_on(bench, model, front)
    with pytest.raises(DeviceRefused, match="temperature control"):
        await laser.set_laser(True)
    await warm(laser)
    await laser.set_laser(True)
    await laser.set_current_a(0.05, ramp_a_per_s=1.0)
    assert core.current_a == pytest.approx(0.05)
    assert await laser.current_a() == pytest.approx(0.05)
    with pytest.raises(DeviceRefused, match="temperature control"):
        await laser.set_temperature_control(False)
    await laser.emergency_stop()
    assert core.current_a == 0 and not await laser.temperature_control()
    await laser.close()


@lasers
async def test_a_current_above_the_limit_is_refused_by_the_instrument(
    bench: Bench, model: str, front: str
) -> None:
    laser, _ = await laser_on(bench, model, front)
    await warm(laser)
    assert (await laser.limits())["current_a"].maximum == pytest.approx(0.08)
    with pytest.raises(DeviceRefused, match=r"pump: '(SOUR:CURR 0.2|SILD 200).*(-222|execution)"):
        await laser.set_current_a(0.2)
    assert await laser.current_set_point_a() == 0
    await laser.close()


@lasers
async def test_an_open_interlock_trips_the_laser_and_says_so(
    bench: Bench, model: str, front: str
) -> None:
    laser, core = await laser_on(bench, model, front)
    await warm(laser)
    await laser.set_laser(True)
    core.set_interlock(True)
    assert not await laser.laser()
    assert "interlock" in await laser.trip_cause()
    with pytest.raises(DeviceTripped, match="interlock"):
        await laser.set_laser(True)
    core.set_interlock(False)
    assert "interlock" in await laser.trip_cause()
    await laser.set_laser(True)
    assert await laser.trip_cause() == ""
    await laser.close()


@pytest.mark.parametrize("model", ["thorlabs-itc4000", "srs-ldc500"])
@pytest.mark.parametrize("failing", ["set_laser", "set_current_a", "set_temperature_control"])
async def test_an_emergency_stop_goes_on_past_a_step_that_fails(
    monkeypatch: pytest.MonkeyPatch, model: str, failing: str
) -> None:
    core = lab.simulated(model)
    laser = driver_on(model, core)
    await laser.connect()
    await warm(laser)
    await laser.set_laser(True)
    await laser.set_current_a(0.05)

    async def refuse(value: object) -> None:
        raise DeviceRefused("not now")

    monkeypatch.setattr(laser, failing, refuse)
    with pytest.raises(DeviceRefused, match="not now"):
        await laser.emergency_stop()
    assert core.current_a == 0
    assert await laser.laser() == (failing == "set_laser")
    assert await laser.temperature_control() == (failing != "set_current_a")
    await laser.close()


STEPS = ["cooling", "no cooling", "light", "dark", "current", "limit", "interlock", "stop", "power"]


@agreement("thorlabs-itc4000", "srs-ldc500")
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.floats(0, 0.3)), max_size=15))
@settings(max_examples=20, deadline=None)
def test_the_driver_and_the_core_agree_and_light_needs_cooling(
    model: str, steps: list[tuple[str, float]]
) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        laser: Any = make_device(model, "tcp:direct:1", "pump")
        laser._wire.transport = DirectTransport(core)
        await laser.connect()
        for what, amperes in steps:
            with suppress(DeviceRefused, DeviceTripped):
                match what:
                    case "cooling" | "no cooling":
                        await laser.set_temperature_control(what == "cooling")
                    case "light" | "dark":
                        await laser.set_laser(what == "light")
                    case "current":
                        await laser.set_current_a(amperes)
                    case "limit":
                        await laser.set_current_limit_a(amperes)
                    case "interlock":
                        core.set_interlock(amperes < 0.15)
                    case "stop":
                        await laser.emergency_stop()
                    case "power":
                        core.power_cycle()
            lit = await laser.laser()
            assert await laser.current_a() == pytest.approx(core.current_a, abs=1e-6)
            assert await laser.current_set_point_a() <= await laser.current_limit_a() + 1e-9
            assert not lit or await laser.temperature_control()
            assert lit or core.current_a == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(srs, "ERROR_DELAY_S", 0.0)
        asyncio.run(play())


async def test_an_ldc500_limits_its_current_by_model_and_range(bench: Bench) -> None:
    laser, core = await laser_on(bench, "srs-ldc500", "tcp")
    assert (await laser.limits())["current_limit_a"].maximum == 0.25
    core.execute("RNGE HIGH")
    assert (await laser.limits())["current_limit_a"].maximum == 0.5
    await laser.close()


async def test_an_ldc500_that_got_too_warm_says_so(bench: Bench) -> None:
    laser, core = await laser_on(bench, "srs-ldc500", "tcp")
    await warm(laser)
    await laser.set_laser(True)
    core._settings.tec_on = False
    core._settings.highest_c = 20.0
    await lab.eventually(lambda: not core._settings.laser_on)
    assert "temperature" in await laser.trip_cause()
    with pytest.raises(DeviceRefused):
        await laser.set_laser(True)
    await laser.close()


async def test_an_error_logged_late_is_told_with_its_own_command(bench: Bench) -> None:
    laser, _ = await laser_on(bench, "srs-ldc500", "tcp")
    for _ in range(3):
        with pytest.raises(DeviceRefused, match="TEMP 400"):
            await laser.set_temperature_c(400.0)
        await laser.set_temperature_c(24.0)
    await laser.close()


async def test_an_itc_that_cannot_tell_of_its_protections_is_driven_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What keeps its laser off is then a trip by its own words, and no error to be tried again."""
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.05)
    core = lab.simulated("thorlabs-itc4000")
    asked: list[str] = []
    execute = core._run

    def firmware(header: str, tail: str) -> Any:
        if ":PROT:" in header:
            asked.append(header)
            raise ScpiError(-113)
        return execute(header, tail)

    core._run = firmware
    laser: Any = make_device("thorlabs-itc4000", "tcp:direct:1", "pump")
    laser._wire.transport = DirectTransport(core)
    await laser.connect()
    assert await laser.trip_cause() == ""
    await laser.set_temperature_control(True)
    await laser.set_laser(True)
    assert await laser.laser()
    core.set_interlock(True)
    assert not await laser.laser() and await laser.trip_cause() == ""
    with pytest.raises(DeviceTripped, match=r"pump: the laser stays off: .*device says"):
        await laser.set_laser(True)
    assert len(asked) == len(set(asked)) == 3
    await laser.close()

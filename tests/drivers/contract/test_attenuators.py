"""What every driver of an attenuator does."""

import asyncio
import math
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Attenuator
from qkd_drivers.errors import DeviceRefused
from qkd_drivers.models import jdsu_ha9
from qkd_firmware_sim.cores.dd100 import Dd100

MODELS = ["oz-dd100", "jdsu-ha9"]
every_attenuator = pytest.mark.parametrize("model", MODELS)


async def attenuator_on(bench: Bench, model: str) -> tuple[Attenuator, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core)
    device = await open_device(model, address, "voa")
    assert isinstance(device, Attenuator)
    return device, core


@every_attenuator
async def test_a_loss_is_set_when_the_call_returns(bench: Bench, model: str) -> None:
    voa, core = await attenuator_on(bench, model)
    if voa.has_shutter:
        await voa.set_blocked(False)
    for decibels in (12.5, 3.0):
        await voa.set_attenuation_db(decibels)
        assert core.loss_db == pytest.approx(decibels, abs=0.01)
        assert await voa.attenuation_db() == pytest.approx(decibels, abs=0.01)
    limits = (await voa.limits())["attenuation_db"]
    for decibels in (limits.minimum - 0.5, limits.maximum + 0.5):
        with pytest.raises(ValueError, match="attenuation_db"):
            await voa.set_attenuation_db(decibels)
    assert await voa.attenuation_db() == pytest.approx(3, abs=0.01)
    await voa.close()


@every_attenuator
async def test_a_shutter_blocks_the_beam_or_is_not_there(bench: Bench, model: str) -> None:
    voa, core = await attenuator_on(bench, model)
    if not voa.has_shutter:
        with pytest.raises(DeviceRefused, match="shutter"):
            await voa.set_blocked(True)
        assert not await voa.blocked()
    else:
        await voa.set_attenuation_db(5.0)
        await voa.set_blocked(True)
        assert await voa.blocked() and core.loss_db == math.inf
        await voa.set_blocked(False)
        assert not await voa.blocked() and core.loss_db == pytest.approx(5)
    await voa.close()


@every_attenuator
async def test_the_calibration_is_chosen_or_is_the_only_one(bench: Bench, model: str) -> None:
    voa, _ = await attenuator_on(bench, model)
    if "wavelength_nm" in await voa.limits():
        await voa.set_wavelength_nm(1550.0)
        assert await voa.wavelength_nm() == pytest.approx(1550.0)
        with pytest.raises(ValueError, match="wavelength_nm"):
            await voa.set_wavelength_nm(405.0)
    else:
        with pytest.raises(DeviceRefused, match="calibration"):
            await voa.set_wavelength_nm(1550.0)
        assert await voa.wavelength_nm() == 0
    await voa.close()


@agreement(*MODELS)
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("loss"), st.integers(100, 5000).map(lambda n: n / 100)),
            st.tuples(st.just("block"), st.booleans()),
            st.tuples(st.sampled_from(["power cycle", "reconnect"]), st.none()),
        ),
        max_size=10,
    )
)
def test_the_view_of_an_attenuator_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        voa = driver_on(model, core)
        await voa.connect()
        for what, value in steps:
            match what:
                case "loss":
                    await voa.set_attenuation_db(value)
                    assert await voa.attenuation_db() == pytest.approx(value, abs=0.01)
                case "block":
                    if voa.has_shutter:
                        await voa.set_blocked(value)
                        assert await voa.blocked() == value
                case "power cycle":
                    core.power_cycle()
                case "reconnect":
                    await voa.close()
                    await voa.connect()
            seen_db = await voa.attenuation_db()
            if await voa.blocked():
                assert core.loss_db == math.inf
            elif not math.isnan(seen_db):
                assert core.loss_db == pytest.approx(seen_db, abs=0.01)
        await voa.close()

    asyncio.run(play())


@pytest.mark.parametrize("revision", ["", *Dd100.revisions])
async def test_a_dd100_homes_when_it_must_and_its_firmware_does_not_matter(
    bench: Bench, revision: str
) -> None:
    core = Dd100(motor_speed=lab.THERMAL_SPEED)
    core.revision = revision
    address, _ = await bench.plug(core)
    voa = await open_device("oz-dd100", address, "voa")
    assert isinstance(voa, Attenuator)
    assert math.isnan(await voa.attenuation_db()) and await voa.readings() == {}
    await voa.set_attenuation_db(7.0)
    assert core.homed and core.loss_db == pytest.approx(7)
    core.power_cycle()
    assert math.isnan(await voa.attenuation_db())
    await voa.set_attenuation_db(8.0)
    assert (await voa.readings())["attenuation_db"].value == pytest.approx(8)
    await voa.close()


async def test_a_dd100_homes_after_each_connection_if_the_address_says_so() -> None:
    core = lab.simulated("oz-dd100")
    voa = driver_on("oz-dd100", core, "?home=always")
    await voa.connect()
    for homes in (1, 0):
        before_ps = core.now_ps
        await voa.set_attenuation_db(5.0)
        assert (core.now_ps - before_ps > 0.1e12) == bool(homes)
    with pytest.raises(ValueError, match="home"):
        make_device("oz-dd100", "serial:/dev/ttyUSB0?home=never", "voa")


async def test_an_ha9_is_reached_by_a_visa_name(bench: Bench) -> None:
    core = lab.simulated("jdsu-ha9")
    address, _ = await bench.plug(core, front="tcp")
    _, host, port = address.split(":")
    voa = await open_device("jdsu-ha9", f"visa:TCPIP::{host}::{port}::SOCKET", "voa")
    assert isinstance(voa, Attenuator)
    await voa.set_blocked(False)
    await voa.set_attenuation_db(10.0)
    assert core.loss_db == pytest.approx(10)
    await voa.close()


async def test_doubtful_registers_of_an_ha9_need_not_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jdsu_ha9, "_BLIND_SETTLING_S", 0.0)
    core = lab.simulated("jdsu-ha9")
    asked: list[str] = []
    answer = core.answer
    core.answer = lambda line: asked.append(line) or answer(line)
    voa = driver_on("jdsu-ha9", core, "?settled_bit=0&shutter=remembered")
    await voa.connect()
    assert await voa.blocked()
    await voa.set_attenuation_db(10.0)
    await voa.set_blocked(False)
    assert not await voa.blocked() and core.loss_db < 100
    assert not {"CNB?", "D?"} & set(asked)
    for options in ("settled_bit=x", "shutter=open"):
        with pytest.raises(ValueError, match="settled_bit"):
            make_device("jdsu-ha9", f"visa:GPIB0::7::INSTR?{options}", "voa")

"""What every driver of one kind of device does."""

import asyncio
import re
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import Client, driver_on, run
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import (
    CrystalOven,
    PolarisationController,
    SinglePhotonDetector,
)
from qkd_drivers.errors import DeviceRefused


async def test_a_detector_holds_its_set_points(bench: Bench) -> None:
    core = lab.spd()
    bench.rate_cps[core] = 20_000
    address, _ = await bench.plug(core)
    spd = await open_device("s15-spd", address, "detector")
    assert isinstance(spd, SinglePhotonDetector)
    await spd.set_bias_voltage_v(120.5)
    await spd.set_threshold_v(0.2)
    await spd.set_temperature_c(-15.0)
    await spd.set_cooling(True)
    assert await spd.bias_voltage_v() == pytest.approx(120.5)
    assert await spd.threshold_v() == pytest.approx(0.2)
    assert await spd.temperature_set_point_c() == pytest.approx(-15)
    assert await spd.cooling()
    assert core.counting is False
    assert await spd.counts(0.1) == pytest.approx(2000, abs=2)
    with pytest.raises(ValueError, match="bias_voltage_v"):
        await spd.set_bias_voltage_v(1e4)
    # The box itself is stricter than the driver's table: its complaint is passed on.
    with pytest.raises(DeviceRefused, match=r"detector.*HVOLT 400.*250"):
        await spd.set_bias_voltage_v(400)
    assert await spd.bias_voltage_v() == pytest.approx(120.5)
    await spd.close()


async def test_an_oven_heats_and_keeps_its_laser_off(bench: Bench) -> None:
    core = lab.spdc()
    core.receive(b"POWER 2;LCURRENT 3;ON;")
    address, _ = await bench.plug(core)
    oven = await open_device("s15-spdc", address, "oven")
    assert isinstance(oven, CrystalOven)
    told: list[bytes] = []
    receive = core.receive
    core.receive = lambda data: told.append(data) or receive(data)
    await oven.set_ramp_k_per_s(1.0)
    await oven.set_temperature_c(40.0)
    await oven.set_heater(True)
    orders = re.findall(rb"LCURRENT [\d.]+|OFF", b"".join(told))
    assert [float(order.split()[1]) for order in orders[:-1]] == [2, 1, 0], "ramped down, then cut"
    assert orders[-1] == b"OFF"
    assert await oven.heater()
    await lab.eventually(lambda: core.crystal_c > 38)
    assert not core._status() & 4 and not core._status() & 512
    await oven.set_heater(False)
    assert not await oven.heater()
    await oven.close()


async def test_a_polarisation_controller_moves_one_retarder(bench: Bench) -> None:
    core = lab.epc()
    core.receive(b"MAC\r\n")
    address, _ = await bench.plug(core)
    epc = await open_device("oz-epc400", address, "polarisation")
    assert isinstance(epc, PolarisationController)
    await epc.hold()
    assert not core.scrambling
    await epc.set_voltage_mv(2, -1234)
    assert await epc.voltages_mv() == (0, -1234, 0, 0) == core.voltages_mv
    for channel, millivolts in ((0, 0), (5, 0), (1, 5001)):
        with pytest.raises(ValueError, match="outside"):
            await epc.set_voltage_mv(channel, millivolts)
    core.power_cycle()
    assert await epc.voltages_mv() == (0, 0, 0, 0), "nothing was saved"
    await epc.close()


OTHERS = st.sampled_from(["power cycle", "lose settings", "reconnect"])


async def befall(what: str, device: Any, core: Any) -> None:
    """What happens to a device that is not the driver's doing, or begins a new connection."""
    match what:
        case "power cycle":
            core.power_cycle()
        case "lose settings":
            core.lose_settings()
        case "reconnect":
            await device.close()
            await device.connect()


@agreement("s15-spdc")
@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("temperature"), st.integers(20_000, 100_000).map(lambda n: n / 1e3)),
            st.tuples(st.just("ramp"), st.integers(0, 1000).map(lambda n: n / 1e3)),
            st.tuples(st.just("heater"), st.booleans()),
            st.tuples(st.just("wait"), st.floats(0, 3)),
            st.tuples(
                st.just("another program"),
                st.sampled_from(
                    ["power 2;on;", "power 0;", "hloop 0;", "hrate 0.25;save;", "off;"]
                ),
            ),
            st.tuples(OTHERS, st.none()),
        ),
        max_size=20,
    )
)
def test_the_view_of_an_oven_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    """Also behind the back of the driver; and its laser is dark after each word to the heater."""

    async def play() -> None:
        core = lab.simulated(model)
        oven = driver_on(model, core)
        await oven.connect()
        for what, value in steps:
            match what:
                case "temperature":
                    await oven.set_temperature_c(value)
                    assert core._now.heater_set_c == value
                case "ramp":
                    await oven.set_ramp_k_per_s(value)
                    assert core._now.heater_rate == value
                case "heater":
                    await oven.set_heater(value)
                    assert core._now.heater_loop == value
                    assert not core._laser_on and not core._now.power & 2
                case "wait":
                    run(core, value)
                case "another program":
                    core.receive(value.encode())
                case _:
                    await befall(what, oven, core)
            now = core._now
            assert await oven.temperature_set_point_c() == now.heater_set_c
            assert await oven.ramp_k_per_s() == now.heater_rate
            assert await oven.heater() == (now.heater_loop and bool(now.power & 1))
            assert await oven.temperature_c() == pytest.approx(core.crystal_c, abs=1e-3)
        await oven.close()

    asyncio.run(play())


@agreement("oz-epc400")
@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("voltage"), st.tuples(st.integers(1, 4), st.integers(-5000, 5000))),
            st.tuples(st.just("hold"), st.none()),
            st.tuples(
                st.just("another program"),
                st.sampled_from(["MAC", "V2,-77", "VH3", "SAVE", "F1,99", "V9,1", "nonsense"]),
            ),
            st.tuples(OTHERS, st.none()),
        ),
        max_size=20,
    )
)
def test_the_view_of_a_controller_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    """Whatever another program has set meanwhile, and whether that swings the polarisation."""

    async def play() -> None:
        core = lab.simulated(model)
        other = Client(core)
        epc = driver_on(model, core)
        await epc.connect()
        for what, value in steps:
            before, was_scrambling = core.voltages_mv, core.scrambling
            match what:
                case "voltage":
                    channel, millivolts = value
                    await epc.set_voltage_mv(channel, millivolts)
                    assert core.voltages_mv[channel - 1] == millivolts
                    assert sum(a != b for a, b in zip(before, core.voltages_mv, strict=True)) <= 1
                    assert core.scrambling == was_scrambling
                case "hold":
                    await epc.hold()
                    assert not core.scrambling and core.voltages_mv == before
                case "another program":
                    other.ask(value.encode() + b"\r\n")
                case _:
                    await befall(what, epc, core)
            assert await epc.voltages_mv() == core.voltages_mv
        await epc.close()

    asyncio.run(play())

"""What every driver of a single-photon detector does."""

import asyncio
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import SinglePhotonDetector
from qkd_drivers.errors import DeviceRefused, DeviceTripped
from qkd_firmware_sim.cores.id120 import Id120

MODELS = ["s15-spd", "idq-id120"]
every_detector = pytest.mark.parametrize("model", MODELS)


async def detector_on(bench: Bench, model: str) -> tuple[SinglePhotonDetector, Any]:
    core = lab.simulated(model)
    bench.rate_cps[core] = 20_000
    address, _ = await bench.plug(core)
    device = await open_device(model, address, "detector")
    assert isinstance(device, SinglePhotonDetector)
    return device, core


@every_detector
async def test_set_points_are_held_and_bias_makes_it_see(bench: Bench, model: str) -> None:
    detector, core = await detector_on(bench, model)
    await detector.set_temperature_c(-15.0)
    await detector.set_cooling(True)
    await detector.set_threshold_v(0.2)
    assert core.response().efficiency == 0
    await lab.eventually(lambda: core.temperature_c < -14)
    await detector.set_bias_voltage_v(195.0)
    assert core.response().efficiency > 0.4
    assert await detector.bias_voltage_v() == pytest.approx(195, abs=0.05)
    assert await detector.threshold_v() == pytest.approx(0.2, abs=1e-3)
    assert await detector.temperature_set_point_c() == pytest.approx(-15)
    assert await detector.temperature_c() == pytest.approx(core.temperature_c, abs=0.5)
    assert await detector.cooling()
    assert await detector.counts(0.2) == pytest.approx(4000, rel=0.2)
    await detector.close()


@every_detector
async def test_what_is_out_of_range_changes_nothing(bench: Bench, model: str) -> None:
    detector, _ = await detector_on(bench, model)
    limits = await detector.limits()
    set_ = {
        "bias_voltage_v": detector.set_bias_voltage_v,
        "threshold_v": detector.set_threshold_v,
        "temperature_c": detector.set_temperature_c,
    }
    for name, range_ in limits.items():
        for value in (range_.minimum - 10, range_.maximum + 10):
            with pytest.raises(ValueError, match=name):
                await set_[name](value)
    assert await detector.bias_voltage_v() == 0
    await detector.close()


@agreement(*MODELS)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["bias", "threshold", "temperature", "cooling", "power"]),
            st.floats(0, 1),
        ),
        max_size=12,
    )
)
@settings(max_examples=20, deadline=None)
def test_the_driver_and_the_core_agree(model: str, steps: list[tuple[str, float]]) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        detector = driver_on(model, core)
        await detector.connect()
        for what, share in steps:
            match what:
                case "bias":
                    await detector.set_bias_voltage_v(250 * share)
                case "threshold":
                    await detector.set_threshold_v(share)
                case "temperature":
                    await detector.set_temperature_c(-30 + 20 * share)
                case "cooling":
                    await detector.set_cooling(share > 0.5)
                    assert await detector.cooling() == (share > 0.5)
                case "power":
                    core.power_cycle()
        if isinstance(core, Id120):
            assert await detector.bias_voltage_v() == core.bias_v
            assert await detector.cooling() == core._cooling
        else:
            assert await detector.bias_voltage_v() == pytest.approx(core._bias_v, abs=1e-3)
            assert await detector.cooling() == core._loop

    asyncio.run(play())


async def test_an_id120_tells_its_ranges_and_keeps_its_steps(bench: Bench) -> None:
    detector, core = await detector_on(bench, "idq-id120")
    assert (await detector.limits())["bias_voltage_v"].maximum == 250
    await detector.set_bias_voltage_v(120.05)
    assert core._values["bias_uv"] % 80_000 == 0
    core.define(":BIAS:CAPABILITY", query=lambda arguments: "no idea")
    await detector.close()
    core._commands.insert(0, core._commands.pop())
    await detector.connect()
    assert (await detector.limits())["bias_voltage_v"].maximum == 250, "of the manual"
    await detector.close()


async def test_a_faulty_bias_supply_is_a_trip(bench: Bench) -> None:
    detector, core = await detector_on(bench, "idq-id120")
    await detector.set_bias_voltage_v(190.0)
    core.latched = True
    with pytest.raises(DeviceTripped, match="bias supply"):
        await detector.bias_voltage_v()
    with pytest.raises(DeviceTripped, match="bias supply"):
        await detector.set_bias_voltage_v(190.0)
    core.latched = False
    assert await detector.bias_voltage_v() == pytest.approx(190, abs=0.05)
    await detector.close()


async def test_a_value_that_the_device_does_not_take_is_told(bench: Bench) -> None:
    detector, core = await detector_on(bench, "idq-id120")
    await detector.limits()
    core._values["bias_uv"] = 80_000
    core.define(":BIAS:VOLTAGE", set=lambda arguments: None, query=lambda arguments: "80000")
    core._commands.insert(0, core._commands.pop())
    with pytest.raises(DeviceRefused, match=r"BIAS:VOLTAGE 120000000.*holds 80000"):
        await detector.set_bias_voltage_v(120.0)
    await detector.close()


@pytest.mark.parametrize(("option", "seconds"), [("", 1e-6), ("?deadtime=us", 1e-3)])
async def test_the_unit_of_the_dead_time_is_a_setting(
    bench: Bench, option: str, seconds: float
) -> None:
    address, _ = await bench.plug(lab.simulated("idq-id120"))
    detector = await open_device("idq-id120", address + option, "detector")
    assert (await detector.readings())["dead_time_s"].value == pytest.approx(seconds)
    await detector.close()
    with pytest.raises(ValueError, match="deadtime"):
        make_device("idq-id120", "serial:/dev/x?deadtime=ms", "detector")

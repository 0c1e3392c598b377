"""What every driver of a power meter does."""

import asyncio
import math
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import DirectTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import PowerMeter
from qkd_drivers.errors import DeviceLost, DeviceMismatch, DeviceRefused
from qkd_drivers.framing import TraceEntry

MODELS = ["thorlabs-pm100d"]
every_meter = pytest.mark.parametrize("model", MODELS)


async def meter_on(bench: Bench, model: str, front: str = "tcp") -> tuple[PowerMeter, Any, Any]:
    core = lab.simulated(model)
    address, wire = await bench.plug(core, front=front)
    device = await open_device(model, address, "meter")
    assert isinstance(device, PowerMeter)
    return device, core, wire


@every_meter
async def test_it_measures_the_light_for_its_wavelength(bench: Bench, model: str) -> None:
    meter, core, _ = await meter_on(bench, model)
    core.light_w = 0.012
    await meter.set_wavelength_nm(405.0)
    assert await meter.wavelength_nm() == pytest.approx(405)
    assert await meter.power_w() == pytest.approx(0.012)
    await meter.set_wavelength_nm(810.0)
    assert await meter.power_w() < 0.004, "the calibration for another colour"
    reading = (await meter.readings())["power_w"]
    assert reading.unit == "W" and reading.value == pytest.approx(await meter.power_w())
    await meter.close()


@every_meter
async def test_a_wavelength_out_of_range_is_refused_by_the_meter(bench: Bench, model: str) -> None:
    meter, _, _ = await meter_on(bench, model)
    limits = (await meter.limits())["wavelength_nm"]
    held = await meter.wavelength_nm()
    with pytest.raises(DeviceRefused, match=r"meter.*-222"):
        await meter.set_wavelength_nm(limits.maximum + 100)
    assert await meter.wavelength_nm() == held
    await meter.close()


async def test_beyond_a_fixed_range_power_is_infinite(bench: Bench) -> None:
    meter, core, _ = await meter_on(bench, "thorlabs-pm100d")
    core.execute("SENS:POW:RANG 1E-6")
    core.light_w = 0.001
    assert await meter.power_w() == math.inf
    await meter.close()


@every_meter
async def test_a_meter_that_hung_up_while_idle_is_asked_again(bench: Bench, model: str) -> None:
    trace: list[TraceEntry] = []
    core = lab.simulated(model)
    core.idle_disconnect_s = 0.05
    address, _ = await bench.plug(core, front="tcp")
    meter = await open_device(model, address, "meter", trace.append)
    assert isinstance(meter, PowerMeter)
    await meter.set_wavelength_nm(500.0)
    for _ in range(2):
        await lab.eventually(lambda: not meter._wire.transport.is_open)  # type: ignore[attr-defined]
        read = await asyncio.gather(*(meter.wavelength_nm() for _ in range(3)))
        assert read == [500, 500, 500]
    await lab.eventually(lambda: not meter._wire.transport.is_open)  # type: ignore[attr-defined]
    await meter.set_wavelength_nm(600.0)
    assert core._wavelength_nm == 600
    assert any(entry.direction == "!" for entry in trace)
    await meter.close()
    with pytest.raises(DeviceLost):
        await meter.wavelength_nm()


@every_meter
async def test_a_wire_lost_in_mid_reply_is_opened_once_more(bench: Bench, model: str) -> None:
    meter, _, wire = await meter_on(bench, model)
    await wire.apply("hang_up", size=3)
    assert await meter.wavelength_nm() == pytest.approx(633)
    await meter.close()


@every_meter
async def test_another_meter_in_the_place_of_one_that_hung_up_is_told_nothing(
    bench: Bench, model: str
) -> None:
    meter, core, _ = await meter_on(bench, model)
    core.idle_disconnect_s = 0.05
    await lab.eventually(lambda: not meter._wire.transport.is_open)  # type: ignore[attr-defined]
    core.identity = core.identity.replace("SN-0412", "SN-0413")
    assert "SN-0413" in core.identity
    with pytest.raises(DeviceMismatch, match=r"meter: .*SN-0412.* hung up, and .*SN-0413"):
        await meter.set_wavelength_nm(500.0)
    with pytest.raises(DeviceMismatch):
        await meter.wavelength_nm()
    assert core._wavelength_nm == 633
    await meter.close()
    await meter.connect()
    assert meter.identity.serial_number == "SN-0413"
    await meter.set_wavelength_nm(500.0)
    await meter.close()


@agreement(*MODELS)
@given(steps=st.lists(st.one_of(st.floats(300, 1200), st.none()), max_size=10))
@settings(max_examples=15, deadline=None)
def test_the_driver_and_the_core_agree(model: str, steps: list[float | None]) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        meter: Any = make_device(model, "tcp:direct:1", "meter")
        meter._wire.transport = DirectTransport(core)
        await meter.connect()
        for nanometres in steps:
            if nanometres is None:
                core.power_cycle()
                continue
            try:
                await meter.set_wavelength_nm(nanometres)
            except DeviceRefused:
                assert not 400 <= round(nanometres, 2) <= 1100
            assert await meter.wavelength_nm() == pytest.approx(core._wavelength_nm)

    asyncio.run(play())

"""pymeasure drives the simulated instruments whose commands were read from it."""

import asyncio
import warnings
from typing import Any

import bench as lab
import pytest
from bench import Bench

with warnings.catch_warnings(action="ignore"):
    pytest.importorskip("pymeasure")
    from pymeasure.instruments.agilent import Agilent33500
    from pymeasure.instruments.srs import LDC500Series
    from pymeasure.instruments.thorlabs import ThorlabsPM100USB

pytestmark = pytest.mark.filterwarnings("ignore")  # they have theirs
LINES = {"visa_library": "@py", "read_termination": "\n", "write_termination": "\n"}


async def socket(bench: Bench, core: Any) -> str:
    """The VISA name of an instrument at a raw socket."""
    address, _ = await bench.plug(core, front="tcp")
    _, host, port = address.split(":")
    return f"TCPIP::{host}::{port}::SOCKET"


async def test_a_generator_gives_a_pulse_and_queues_an_error(bench: Bench) -> None:
    """The error is that of a period shorter than the pulse, which is shortened to it."""
    core: Any = lab.simulated("keysight-33500")
    name = await socket(bench, core)

    def drive() -> list[Any]:
        generator = Agilent33500(name, **LINES)
        channel = generator.ch_1
        channel.shape = "PULS"
        channel.pulse_period = 1e-3
        channel.pulse_width = 4e-4
        channel.amplitude_unit = "VPP"
        channel.amplitude = 3.0
        channel.output = True
        assert channel.shape == "PULS" and channel.pulse_width == pytest.approx(4e-4)
        assert generator.check_errors() == []
        channel.pulse_period = 1e-4
        errors = generator.check_errors()
        generator.adapter.close()
        return list(errors)

    assert len(await asyncio.to_thread(drive)) == 1
    width_s, _, amplitude_v = core.output(1)
    assert 0.99e-4 < width_s < 1e-4 and amplitude_v == pytest.approx(3.0)


async def test_a_meter_is_set_to_a_wavelength_and_read(bench: Bench) -> None:
    name = await socket(bench, lab.simulated("thorlabs-pm100d"))

    def drive() -> tuple[float, float]:
        meter = ThorlabsPM100USB(name, **LINES)
        meter.wavelength = 633
        told = meter.wavelength, meter.power
        meter.adapter.close()
        return told

    wavelength_nm, power_w = await asyncio.to_thread(drive)
    assert wavelength_nm == 633 and abs(power_w) < 1e-3


async def test_a_laser_is_lit_and_tells_what_it_refuses(bench: Bench) -> None:
    core: Any = lab.simulated("srs-ldc500")
    name = await socket(bench, core)

    def drive() -> list[Any]:
        controller = LDC500Series(name, **LINES)
        controller.tec.enabled = True
        controller.ld.current_limit = 80
        controller.ld.enabled = True
        controller.ld.current_setpoint = 50
        assert controller.ld.interlock_closed and controller.ld.enabled
        assert controller.ld.current_setpoint == pytest.approx(50)
        controller.ld.write("SILD 90")
        errors = controller.check_errors()
        controller.adapter.close()
        return list(errors)

    assert any(await asyncio.to_thread(drive))
    assert core.current_a == pytest.approx(0.05)

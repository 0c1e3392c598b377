"""pylablib drives the simulated instruments whose commands were read from it."""

import asyncio
import warnings
from typing import Any

import bench as lab
import pytest
from bench import Bench

with warnings.catch_warnings(action="ignore"):
    pytest.importorskip("pylablib")
    from pylablib.devices.Hubner import Cobolt
    from pylablib.devices.OZOptics import DD100, EPC04
    from pylablib.devices.Thorlabs import ElliptecMotor

pytestmark = pytest.mark.filterwarnings("ignore")  # they have theirs


async def port(bench: Bench, core: Any) -> str:
    """The path of the serial port of an instrument."""
    address, _ = await bench.plug(core)
    return address.removeprefix("serial:")


async def test_the_mounts_of_a_bus_are_found_and_one_moves(bench: Bench) -> None:
    core: Any = lab.simulated("thorlabs-ell14")
    at = await port(bench, core)

    def drive() -> None:
        with ElliptecMotor((at, 9600)) as mounts:
            assert mounts.get_connected_addrs() == [0, 1, 2]
            mounts.home(addr=1)
            mounts.move_to(30.0, addr=1)
            assert mounts.get_position(addr=1) == pytest.approx(30.0, abs=0.01)
            assert mounts.get_status(addr=1) == "ok"
            assert mounts.get_velocity(addr=1) and mounts.get_motor_info(addr=1)

    await asyncio.to_thread(drive)
    assert core.angles_deg[1] == pytest.approx(30.0, abs=0.01)


async def test_an_attenuator_is_homed_and_set(bench: Bench) -> None:
    core: Any = lab.simulated("oz-dd100")
    at = await port(bench, core)

    def drive() -> None:
        with DD100((at, 9600)) as attenuator:
            attenuator.home()
            attenuator.set_attenuation(12.0)
            assert attenuator.get_attenuation() == pytest.approx(12.0, abs=0.05)

    await asyncio.to_thread(drive)
    assert core.loss_db == pytest.approx(12.0, abs=0.05)


async def test_a_polarisation_controller_takes_voltages(bench: Bench) -> None:
    core: Any = lab.epc()
    at = await port(bench, core)

    def drive() -> None:
        with EPC04((at, 9600)) as controller:
            controller.set_all_voltages([0.1, -0.2, 0.3, -0.4])
            assert list(controller.get_voltages()) == [0.1, -0.2, 0.3, -0.4]

    await asyncio.to_thread(drive)
    assert core.voltages_mv == (100, -200, 300, -400)


async def test_a_laser_head_tells_its_state_and_takes_a_power(bench: Bench) -> None:
    at = await port(bench, lab.simulated("cobolt-06"))

    def drive() -> None:
        with Cobolt((at, 115200)) as head:
            assert head.get_interlock() and head.get_error_state() == "none"
            head.set_output_power(0.03)
            assert head.get_output_power_setpoint() == pytest.approx(0.03)

    await asyncio.to_thread(drive)

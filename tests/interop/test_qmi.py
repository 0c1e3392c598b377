"""qmi drives the simulated instruments whose commands were read from it."""

import asyncio
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bench as lab
import pytest
from bench import Bench

from qkd_firmware_sim.cores.epc400 import Epc400

with warnings.catch_warnings(action="ignore"):
    pytest.importorskip("qmi")
    from qmi.core.context import QMI_Context
    from qmi.instruments.cobolt.laser_06_01 import Cobolt_Laser_06_01
    from qmi.instruments.ozoptics.dd100mc import OZOptics_DD100MC
    from qmi.instruments.ozoptics.epc_driver import OzOptics_EpcDriver
    from qmi.instruments.quantum_composers.pulse_generator9530 import (
        QuantumComposers_PulseGenerator9530,
    )
    from qmi.instruments.thorlabs import Thorlabs_K10Cr1, Thorlabs_Mpc320

pytestmark = pytest.mark.filterwarnings("ignore")  # they have theirs


async def port(bench: Bench, core: Any) -> str:
    """How qmi calls the serial port of an instrument."""
    address, _ = await bench.plug(core)
    return address


@contextmanager
def opened(kind: Any, transport: str) -> Iterator[Any]:
    device = kind(QMI_Context("bench"), "it", transport)
    device.open()
    try:
        yield device
    finally:
        device.close()


async def test_a_polarisation_controller_moves_a_paddle(bench: Bench) -> None:
    at = await port(bench, lab.simulated("thorlabs-mpc320"))

    def drive() -> None:
        with opened(Thorlabs_Mpc320, at) as paddles:
            assert "MPC320" in str(paddles.get_idn().model)
            paddles.enable_channels([1, 2, 3])
            paddles.move_absolute(2, 85.0)
            while not paddles.is_move_completed(2):
                pass
            assert paddles.get_status_update(2).position == pytest.approx(85.0, abs=0.2)

    await asyncio.to_thread(drive)


async def test_a_mount_turns(bench: Bench) -> None:
    at = await port(bench, lab.simulated("thorlabs-k10cr1"))

    def drive() -> None:
        with opened(Thorlabs_K10Cr1, at) as mount:
            assert "K10CR1" in mount.get_idn().model
            mount.move_absolute(45.0)
            mount.wait_move_complete(20.0)
            assert mount.get_absolute_position() == pytest.approx(45.0, abs=0.01)
            assert mount.get_velocity() > 0
            assert not mount.get_motor_status().moving_forward

    await asyncio.to_thread(drive)


async def test_an_attenuator_is_homed_and_set(bench: Bench) -> None:
    core: Any = lab.simulated("oz-dd100")
    at = await port(bench, core)

    def drive() -> None:
        with opened(OZOptics_DD100MC, at) as attenuator:
            attenuator.home()
            attenuator.set_attenuation(12.0)
            assert attenuator.get_position().attenuation == pytest.approx(12.0, abs=0.05)

    await asyncio.to_thread(drive)
    assert core.loss_db == pytest.approx(12.0, abs=0.05)


async def test_a_polarisation_controller_tells_its_voltages(bench: Bench) -> None:
    """To set them qmi wants a line before ``Done``, which pylablib does without."""
    at = await port(bench, Epc400((100, -200, 300, -400)))

    def drive() -> None:
        with opened(OzOptics_EpcDriver, f"{at}:baudrate=9600") as controller:
            assert controller.get_voltages() == (100, -200, 300, -400)

    await asyncio.to_thread(drive)


async def test_a_laser_head_tells_its_state_and_takes_a_power(bench: Bench) -> None:
    at = await port(bench, lab.simulated("cobolt-06"))

    def drive() -> None:
        with opened(Cobolt_Laser_06_01, at) as head:
            assert not head.get_interlock_state() and head.get_fault() == 0
            head.set_constant_power_mode()
            head.set_output_power_setpoint(0.03)
            assert head.get_output_power_setpoint() == pytest.approx(0.03)

    await asyncio.to_thread(drive)


async def test_a_generator_gives_a_pulse(bench: Bench) -> None:
    core: Any = lab.simulated("qc-9530")
    at = await port(bench, core)

    def drive() -> None:
        with opened(QuantumComposers_PulseGenerator9530, at) as generator:
            assert generator.get_num_channels() >= 2
            generator.set_t0_period(1e-6)
            generator.set_channel_width(2, 2e-8)
            generator.set_channel_enabled(2, True)
            generator.set_output_enabled(True)
            assert generator.get_channel_width(2) == pytest.approx(2e-8)

    await asyncio.to_thread(drive)
    assert core.output(2) is not None and core.output(2)[0] == pytest.approx(2e-8)

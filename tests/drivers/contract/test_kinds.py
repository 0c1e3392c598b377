"""What every driver of one kind of device does."""

import bench as lab
import pytest
from bench import Bench

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
    core.receive(b"POWER 2;ON;")
    address, _ = await bench.plug(core)
    oven = await open_device("s15-spdc", address, "oven")
    assert isinstance(oven, CrystalOven)
    await oven.set_ramp_k_per_s(1.0)
    await oven.set_temperature_c(40.0)
    await oven.set_heater(True)
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

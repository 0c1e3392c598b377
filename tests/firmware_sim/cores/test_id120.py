"""The ID120, in its own words."""

import numpy as np
import pytest
from direct import Client, run

from qkd_firmware_sim.cores.id120 import Id120
from qkd_firmware_sim.cores.s15_spd import Diode


def fresh() -> tuple[Id120, Client]:
    core = Id120("002008", Diode(), thermal_speed=10)
    return core, Client(core)


def test_values_are_integers_in_scaled_units_on_a_grid() -> None:
    core, client = fresh()
    assert client.ask(b"BIAS:VOLTAGE 190000000\nBIAS:VOLTAGE?\n") == b"190000000\n"
    assert client.ask(b"BIAS:VOLTAGE 190030000;VOLTAGE?\n") == b"190000000\n"
    assert client.ask(b"BIAS:VOLTAGE 300000000\nBIAS:VOLTAGE?\n") == b"190000000\n"
    assert client.ask(b"THRESHOLD:VOLTAGE?;:DEADTIME:TIME?\n") == b"200000;1000\n"
    assert core.bias_v == 190


def test_it_tells_who_it_is_and_what_it_can() -> None:
    _, client = fresh()
    assert client.ask(b"INFO:PRODUCT_NAME?\n") == b"ID120\n"
    assert client.ask(b"INFO:PRODUCT_SERIAL_NUMBER?\n") == b"002008\n"
    assert client.ask(b"*IDN?\n").count(b",") == 3
    assert client.ask(b"REG:TEMP_SET_POINT_CAPABILITY?\n") == b"-50000,-10000,1000\n"


def test_it_cools_to_its_set_point() -> None:
    core, client = fresh()
    assert client.ask(b"REG:RUN?;STATE?\n") == b"FALSE;OFF\n"
    client.ask(b"REG:TEMP_SET_POINT -30000\nREG:RUN TRUE\n")
    assert client.ask(b"REG:STATE?\n") == b"COOLING\n"
    run(core, 15)
    assert client.ask(b"REG:STATE?\n") == b"STABLE\n"
    assert int(client.ask(b"REG:MEASURED_TEMP?\n")) == pytest.approx(-30_000, abs=500)


def test_the_counter_runs_by_itself() -> None:
    core, client = fresh()
    client.ask(b"COUNTERS:INTEGRATION_TIME 200\n")
    assert not core.counting
    client.ask(b"BIAS:VOLTAGE 190000000\n")
    assert core.counting
    for _ in range(10):
        core.clicks(np.arange(30, dtype=np.int64))
        run(core, 0.05)
    assert client.ask(b"COUNTERS:DETECTION_COUNT?;DETECTION_FREQ?\n") == b"120;600\n"


def test_bias_makes_it_see_and_a_latched_one_says_so() -> None:
    core, client = fresh()
    client.ask(b"BIAS:VOLTAGE 200000000\nREG:TEMP_SET_POINT -10000\nREG:RUN TRUE\n")
    run(core, 15)
    assert core.response().efficiency > 0.4
    core.latched = True
    assert core.response().efficiency == 0
    assert client.ask(b"BIAS:ERROR_STATUS?\n") == b"TRUE\n"
    core.power_cycle()
    assert client.ask(b"BIAS:ERROR_STATUS?;VOLTAGE?\n") == b"FALSE;0\n"

"""The QES 2.4, in its own bytes."""

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.qes import Qes


def test_temperatures_are_set_in_thousandths_and_told_in_degrees() -> None:
    core = Qes("7")
    client = Client(core)
    assert client.ask(b":SETT 45000\r\nSETP?\r\n") == b"45000\r\n"
    assert client.ask(b"HORC?\r\n") == b"H\r\n"
    run(core, 60)
    assert client.ask(b"TEMP?\r\n") == b"45.000\r\n"
    assert core.crystal_c == pytest.approx(45)
    assert client.ask(b":SETT 60000\r\n") == b"Invalid Parameter\r\n"
    assert client.ask(b"WOBBLE?\r\n") == b"Unknown Command\r\n"


def test_the_pump_is_on_in_apc() -> None:
    core = Qes("7")
    client = Client(core)
    assert client.ask(b":PLDC 60\r\nPLST?\r\n") == b"OFF\r\n" and core.current_a == 0
    assert client.ask(b":PLON\r\nPLST?\r\nPLCR?\r\n") == b"APC\r\n60.0\r\n"
    assert core.current_a == pytest.approx(0.06)
    client.ask(b":PLOF\r\n")
    assert core.current_a == 0
    assert client.ask(b"PLTO?\r\n") == b"1\r\n"


def test_a_fault_of_the_temperature_control_puts_the_pump_out() -> None:
    core = Qes("7")
    client = Client(core)
    client.ask(b":PLON\r\n")
    core.warm_by(50)
    assert client.ask(b"FAUL?\r\nPLST?\r\n") == b"1\r\nOFF\r\n"
    assert client.ask(b":PLON\r\nPLST?\r\n") == b"OFF\r\n"
    run(core, 60)
    assert client.ask(b"FAUL?\r\nPLST?\r\n") == b"0\r\nOFF\r\n"


def test_what_was_saved_outlasts_a_power_cycle() -> None:
    core = Qes("7")
    client = Client(core)
    client.ask(b":PLDC 60\r\n")
    core.power_cycle()
    assert client.ask(b"PLDC?\r\n") == b"20\r\n"
    client.ask(b":PLDC 60\r\n:PLAO\r\n:PLSV\r\n")
    core.power_cycle()
    assert client.ask(b"PLDC?\r\nPLST?\r\n") == b"60\r\nAPC\r\n"

"""The OBIS head, in its own bytes."""

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.obis import Obis


def shaken(core: Obis) -> Client:
    client = Client(core)
    assert client.ask(b"SYST:COMM:HAND ON\r") == b"OK\r\n"
    return client


def test_with_the_handshake_every_command_ends_in_ok() -> None:
    client = shaken(Obis("12345"))
    assert client.ask(b"SYST:INF:SNUM?\r") == b"12345\r\nOK\r\n"
    assert client.ask(b"SOURce:POWer:LEVel:IMMediate:AMPLitude 0.02\r") == b"OK\r\n"
    assert client.ask(b"SOUR:POW:LEV:IMM:AMPL?\r") == b"0.020000\r\nOK\r\n"
    assert client.ask(b"SOUR:TEMP:DIOD?\r") == b"24.0C\r\nOK\r\n"


def test_without_it_settings_are_silent_and_errors_are_told_all_the_same() -> None:
    client = Client(Obis("1"))
    assert client.ask(b"SOUR:AM:STAT OFF\r") == b""
    assert client.ask(b"SOUR:AM:STAT?\r") == b"OFF\r\n"
    assert client.ask(b"SOUR:WOBBLE 1\r") == b"ERR-100\r\n"
    assert client.ask(b"SOUR:POW:LEV:IMM:AMPL 9\r").startswith(b"ERR-")


def test_light_follows_power_and_state() -> None:
    core = Obis("1")
    client = shaken(core)
    client.ask(b"SOUR:AM:INT CWP\rSOUR:POW:LEV:IMM:AMPL 0.035\r")
    assert core.current_a == 0
    client.ask(b"SOUR:AM:STAT ON\r")
    assert core.current_a == pytest.approx(0.06)
    assert client.ask(b"SOUR:POW:LEV?\rSYST:STAT?\r").split()[::2] == [b"0.035000", b"00000006"]


def test_interlock_and_heat_put_it_out() -> None:
    core = Obis("1")
    client = shaken(core)
    client.ask(b"SOUR:AM:STAT ON\r")
    core.set_interlock(True)
    assert core.current_a == 0
    assert client.ask(b"SYST:LOCK?\r") == b"OFF\r\nOK\r\n"
    assert client.ask(b"SOUR:AM:STAT ON\r").startswith(b"ERR-")
    core.set_interlock(False)
    assert core.current_a == 0
    client.ask(b"SOUR:AM:STAT ON\r")
    core.warm_by(40)
    run(core, 0.05)
    assert core.current_a == 0
    assert client.ask(b"SYST:FAUL?\r") == b"00000001\r\nOK\r\n"

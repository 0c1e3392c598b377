"""The power meter, in its own words."""

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.pm100d import Pm100d


def test_it_tells_itself_and_its_sensor() -> None:
    client = Client(Pm100d("P0012"))
    assert client.ask(b"*IDN?\n") == b"Thorlabs,PM100D,P0012,2.6.0\n"
    assert client.ask(b"SYST:SENS:IDN?\n").count(b",") == 5
    assert client.ask(b"SYST:ERR?\n") == b'+0,"No error"\n'


def test_the_power_shown_depends_on_the_wavelength_told() -> None:
    core = Pm100d("1", light_nm=633)
    client = Client(core)
    core.light_w = 1e-3
    assert float(client.ask(b"MEAS:POW?\n")) == pytest.approx(1e-3)
    client.ask(b"SENS:CORR:WAV 405 NM\n")
    assert float(client.ask(b"READ?\n")) > 3e-3
    client.ask(b"SENS:CORR:WAV 633;:CORR 10\n")
    assert float(client.ask(b"MEAS?\n")) == pytest.approx(1e-2)


def test_a_fixed_range_overflows_and_automatic_ranging_does_not() -> None:
    core = Pm100d("1", light_nm=633)
    client = Client(core)
    core.light_w = 1e-3
    client.ask(b"SENS:POW:RANG 4E-6\n")
    assert float(client.ask(b"POW:RANG?\n")) == pytest.approx(5e-6)
    assert client.ask(b"POW:RANG:AUTO?;:MEAS:POW?\n") == b"0;9.90000000E+37\n"
    client.ask(b"SENS:POW:RANG:AUTO ON\n")
    assert float(client.ask(b"MEAS:POW?\n")) == pytest.approx(1e-3)


def test_wavelengths_have_limits() -> None:
    client = Client(Pm100d("1"))
    assert client.ask(b"SENS:CORR:WAV? MIN;WAV? MAX\n") == b"4.00000000E+02;1.10000000E+03\n"
    assert client.ask(b"SENS:CORR:WAV 1200\nSYST:ERR?\n").startswith(b"-222")


def test_a_client_that_says_nothing_for_long_is_hung_up_on() -> None:
    core = Pm100d("1")
    silent, talking = core.session(), core.session()
    gone: list[str] = []
    silent.on_hang_up = lambda: gone.append("silent")
    talking.on_hang_up = lambda: gone.append("talking")
    run(core, 100)
    talking.receive(b"*IDN?\n")
    run(core, 100)
    assert gone == ["silent"]

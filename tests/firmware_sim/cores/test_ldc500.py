"""The LDC501, in its own words."""

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.ldc500 import Ldc500


def lit() -> tuple[Ldc500, Client]:
    core = Ldc500("012345")
    client = Client(core)
    client.ask(b"SILD 60\nTEON ON\nLDON ON\n")
    return core, client


def test_words_and_values_are_answered() -> None:
    core, client = lit()
    assert client.ask(b"*IDN?\n") == b"Stanford_Research_Systems,LDC501,012345,2.18\n"
    assert client.ask(b"LDON?\nTEON?\nSMOD?\nILOC?\n") == b"ON\nON\nCC\nCLOSED\n"
    assert client.ask(b"RILD?\nSILD?;SILM?\n") == b"60.0000\n60.0000;100.0000\n"
    assert core.current_a == 0.06


@pytest.mark.parametrize(
    ("command", "query"),
    [(b"SILD 200", b"LEXE?"), (b"SMOD XY", b"LEXE?"), (b"NONE 1", b"LCME?"), (b"SILD", b"LCME?")],
)
def test_an_error_can_be_read_fifteen_milliseconds_late_and_once(
    command: bytes, query: bytes
) -> None:
    core, client = lit()
    assert client.ask(command + b"\n" + query + b"\n") == b"0\n"
    core.advance(core.now_ps + 14 * 10**9)
    assert client.ask(query + b"\n") == b"0\n"
    core.advance(core.now_ps + 10**9)
    assert int(client.ask(query + b"\n")) > 0
    assert client.ask(query + b"\n") == b"0\n"
    assert client.ask(b"SILD?\n") == b"60.0000\n"


def test_it_has_no_scpi_error_queue() -> None:
    core, client = lit()
    assert client.ask(b"SYST:ERR?\n") == b""
    run(core, 0.1)
    assert int(client.ask(b"LCME?\n")) > 0


def test_a_lowered_limit_drags_the_set_point_down() -> None:
    _, client = lit()
    assert client.ask(b"SILM 40\nSILD?\n") == b"40.0000\n"
    assert client.ask(b"RNGE HIGH\nSILM 400\nRNGE LOW\nSILM?\n") == b"250.0000\n"


def test_an_open_interlock_and_a_high_voltage_turn_the_laser_off() -> None:
    core, client = lit()
    core.set_interlock(True)
    core.set_interlock(False)
    assert core.current_a == 0
    core.set_interlock(True)
    assert client.ask(b"LDON ON\nLDON?\nILOC?\n") == b"OFF\nOPEN\n"
    run(core, 0.1)
    assert int(client.ask(b"LEXE?\n")) > 0
    core.set_interlock(False)
    client.ask(b"SVLM 1\nLDON ON\n")
    run(core, 0.1)
    assert client.ask(b"LDON?\n") == b"OFF\n"


def test_constant_power_gives_the_current_that_it_takes() -> None:
    core, client = lit()
    client.ask(b"SMOD CP\nSWPD 20\n")
    assert float(client.ask(b"RWPD?\n")) == pytest.approx(20)
    assert core.current_a == pytest.approx(0.05)


def test_the_photodiode_and_the_thermistor_are_told_raw() -> None:
    core, client = lit()
    assert client.ask(b"RIPD?;RESP?\n") == b"2800.0000;100.0000\n"
    assert client.ask(b"TSNR?;PDMW?;SIBW?\n") == b"3;ON;LOW\n"
    run(core, 30)
    assert float(client.ask(b"TRAW?\n")) == pytest.approx(10, rel=0.01)


def test_the_cooler_holds_the_diode() -> None:
    core, client = lit()
    client.ask(b"TEMP 20\n")
    run(core, 30)
    assert core.diode_c == pytest.approx(20, abs=0.01)
    assert float(client.ask(b"TIRD?\n")) > 0
    core.power_cycle()
    assert client.ask(b"TEON?\nLDON?\nTEMP?\n") == b"OFF\nOFF\n25.0000\n"

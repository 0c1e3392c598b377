"""The waveform generator, in its own words."""

import pytest
from direct import Client

from qkd_firmware_sim.cores.keysight33500 import Keysight33500


def pulsing() -> tuple[Keysight33500, Client]:
    core = Keysight33500("MY57800123")
    client = Client(core)
    client.ask(
        b"SOUR1:FUNC PULS;:SOUR1:FUNC:PULS:WIDT 100 NS;:SOUR1:FUNC:PULS:PER 1 US\n"
        b"SOUR1:VOLT 3;:OUTP1 ON\n"
    )
    return core, client


def test_it_pulses_as_it_is_told() -> None:
    core, client = pulsing()
    assert client.ask(b"SYST:ERR?\n") == b'+0,"No error"\n'
    assert client.ask(b"SOUR1:FUNC?;:OUTP1?\n") == b"PULS;1\n"
    assert client.ask(b"FUNC:PULS:PER?\n") == b"+1.00000000000000E-06\n"
    assert float(client.ask(b"SOUR1:FREQ?\n")) == pytest.approx(1e6)
    assert core.output(1) == pytest.approx((1e-7, 0, 3))
    assert core.output(2) is None
    client.ask(b"SOUR1:PHAS 90;PHAS:SYNC\n")
    assert core.output(1) == pytest.approx((1e-7, 2.5e-7, 3))


def test_limits_move_with_the_other_settings() -> None:
    _, client = pulsing()
    assert float(client.ask(b"FUNC:PULS:WIDT? MAX\n")) == pytest.approx(1e-6 - 16e-9)
    assert float(client.ask(b"VOLT? MAX\n")) == pytest.approx(10)
    client.ask(b"VOLT:OFFS 2\n")
    assert float(client.ask(b"VOLT? MAX\n")) == pytest.approx(6)
    client.ask(b"OUTP:LOAD MAX\n")
    assert float(client.ask(b"VOLT? MAX\n")) == pytest.approx(16)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"SOUR1:FUNC:PULS:WIDT 2 US", b"-222"),
        (b"SOUR2:VOLT 11", b"-222"),
        (b"SOUR3:VOLT 1", b"-113"),
        (b"SOUR1:FUNC ROUND", b"-224"),
        (b"SOUR1:FUNC:ARB NONE", b"-224"),
        (b"SOUR1:FUNC:PULS:PER 1 V", b"-131"),
    ],
)
def test_what_it_refuses_is_queued_and_changes_nothing(command: bytes, code: bytes) -> None:
    core, client = pulsing()
    before = core.output(1)
    assert client.ask(command + b"\nSYST:ERR?\n").startswith(code)
    assert core.output(1) == before


def test_a_short_period_shortens_the_pulse_and_says_so() -> None:
    core, client = pulsing()
    assert client.ask(b"FUNC:PULS:PER 80 NS\nSYST:ERR?\n").startswith(b"-221")
    assert core.output(1) == pytest.approx((64e-9, 0, 3))


def test_arbitrary_waveforms_are_loaded_by_name() -> None:
    _, client = pulsing()
    client.ask(b"DATA:VOL:CLE\nDATA:ARB decoy,0,0,1,1,0,0,0,1\nFUNC:ARB decoy\nFUNC ARB\n")
    assert client.ask(b"FUNC:ARB?;:FUNC?;:SYST:ERR?\n") == b'"DECOY";ARB;+0,"No error"\n'
    assert client.ask(b"DATA:ARB bad,0,0,2,1,0,0,0,1\nSYST:ERR?\n").startswith(b"-222")


def test_the_power_switch_turns_everything_off() -> None:
    core, client = pulsing()
    core.power_cycle()
    assert core.output(1) is None
    assert client.ask(b"FUNC?;:OUTP?\n") == b"SIN;0\n"

"""The Quantum Composers 9530, in its own bytes."""

import pytest
from direct import Client

from qkd_firmware_sim.cores.qc9530 import Qc9530


def test_settings_are_answered_ok_and_queries_by_their_value() -> None:
    core = Qc9530("0412")
    client = Client(core)
    assert client.ask(b"*IDN?\r\n") == b"QC,9530,0412,2.0.1-1.0.2\r\n"
    assert client.ask(b":INST:CAT?\r\n").startswith(b"T0,CHA,CHB,")
    assert client.ask(b":PULSE0:PER 0.000000100\r\n:PULSE0:PER?\r\n") == b"ok\r\n0.000000100\r\n"
    assert client.ask(b":pulse1:widt 20e-9\r\n:PULSE1:WIDT?\r\n") == b"ok\r\n0.00000002000\r\n"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"PULSE0:PER 1\r\n", b"?1\r\n"),
        (b":PULSE1\r\n", b"?2\r\n"),
        (b":PULSE1:WOBBLE 1\r\n", b"?3\r\n"),
        (b":PULSE9:STAT 1\r\n", b"?3\r\n"),
        (b":PULSE1:WIDT\r\n", b"?4\r\n"),
        (b":PULSE1:WIDT 1e6\r\n", b"?5\r\n"),
        (b":PULSE1:OUTP:MODE ECL\r\n", b"?5\r\n"),
        (b":INST:CAT 1\r\n", b"?6\r\n"),
    ],
)
def test_errors_have_numbers(command: bytes, answer: bytes) -> None:
    assert Client(Qc9530("1")).ask(command) == answer


def test_an_output_pulses_while_it_and_the_time_base_are_on() -> None:
    core = Qc9530("1")
    client = Client(core)
    client.ask(b":PULSE2:STAT 1\r\n:PULSE2:OUTP:AMPL 5\r\n")
    assert core.output(2) is None
    client.ask(b":PULSE0:STAT 1\r\n")
    assert core.output(2) == (1e-6, 0.0, 4.0)
    client.ask(b":PULSE2:OUTP:MODE ADJ\r\n")
    assert core.output(2) == (1e-6, 0.0, 5.0)
    core.power_cycle()
    assert core.output(2) is None


def test_an_unlocked_reference_is_marked() -> None:
    core = Qc9530("1")
    client = Client(core)
    assert client.ask(b":PULSE0:ICL:MOD XPL\r\n:PULSE0:ICL:MOD?\r\n") == b"ok\r\nXPL?\r\n"
    core.clock_present = True
    assert client.ask(b":PULSE0:ICL:MOD?\r\n") == b"XPL\r\n"


def test_clients_do_not_hear_each_other() -> None:
    core = Qc9530("1")
    one, other = Client(core), Client(core)
    assert one.ask(b":PULSE0:STAT?\r\n") == b"0\r\n"
    assert other.heard() == b""

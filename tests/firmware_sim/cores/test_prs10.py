"""The PRS10, in its own bytes."""

from direct import Client, run

from qkd_firmware_sim.cores.prs10 import Prs10


def test_commands_and_replies_end_in_cr() -> None:
    client = Client(Prs10("12345"))
    assert client.ask(b"ID?\r") == b"PRS_10_3.24_SN_12345\r"
    assert client.ask(b"SN?\rsn?\r") == b"12345\r12345\r"
    assert client.ask(b"AD10?\r") == b"0.451\r"
    assert client.ask(b"PT 9\rPT?\rPL0\rPL?\r") == b"9\r0\r"


def test_it_locks_once_it_is_warm() -> None:
    core = Prs10("1", thermal_speed=100)
    client = Client(core)
    assert client.ask(b"LO?\r") == b"0\r"
    run(core, 4)
    assert client.ask(b"LO?\r") == b"1\r"
    assert core.disciplined
    client.ask(b"LO 0\r")
    assert client.ask(b"LO?\r") == b"0\r"


def test_status_bits_stay_until_they_are_read() -> None:
    core = Prs10("1", thermal_speed=1e6)
    client = Client(core)
    assert client.ask(b"ST?\r").split(b",")[2] == b"21"
    run(core, 1)
    assert client.ask(b"ST?\r") == b"0,0,21,1,4,0\r"
    assert client.ask(b"ST?\r") == b"0,0,0,0,4,0\r"
    core.warm_by(20)
    run(core, 1)
    assert core.locked
    assert client.ask(b"ST?\r") == b"0,0,21,1,4,0\r"


def test_what_it_does_not_understand_is_silence_and_a_bit() -> None:
    client = Client(Prs10("1"))
    client.ask(b"ST?\r")
    assert client.ask(b"XX?\rPT 99\r") == b""
    assert client.ask(b"ST?\r").endswith(b",96\r")


def test_it_sends_its_identity_when_switched_on() -> None:
    core = Prs10("7")
    client = Client(core)
    client.ask(b"PL 0\rPT 3\rPT!\r")
    core.power_cycle()
    assert client.heard() == b"PRS_10_3.24_SN_7\r"
    assert client.ask(b"PL?\rPT?\r") == b"1\r3\r"

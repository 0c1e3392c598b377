"""The Cobolt head, in its own bytes."""

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.cobolt06 import Cobolt06


def lit(core: Cobolt06) -> Client:
    client = Client(core)
    assert client.ask(b"cp\rp 0.035\rl1\r") == b"OK\r\n" * 3
    return client


def test_commands_end_in_cr_and_replies_in_crlf() -> None:
    client = Client(Cobolt06("12345"))
    assert client.ask(b"gsn?\r") == b"12345\r\n"
    assert client.ask(b"l?\r\nilk?\r\n") == b"0\r\n0\r\n"
    assert client.ask(b"nonsense\r") == b"Syntax error: illegal command\r\n"
    assert client.ask(b"p 9\r").startswith(b"Error")


def test_power_becomes_current_and_light() -> None:
    core = Cobolt06("1")
    client = lit(core)
    assert core.current_a == pytest.approx(0.06)
    assert client.ask(b"pa?\ri?\rgom?\r") == b"0.035000\r\n60.00\r\n2\r\n"
    assert client.ask(b"ra?\r").split()[7] == b"1"
    assert client.ask(b"ci\rslc 50\r") == b"OK\r\nOK\r\n"
    assert core.current_a == pytest.approx(0.05)
    client.ask(b"l0\r")
    assert core.current_a == 0


def test_an_open_interlock_latches_until_it_is_cleared() -> None:
    core = Cobolt06("1")
    client = lit(core)
    core.set_interlock(True)
    assert core.current_a == 0
    assert client.ask(b"f?\rgom?\rl?\rilk?\r").split() == [b"3", b"5", b"0", b"1"]
    client.ask(b"cf\rl1\r")
    assert client.ask(b"f?\rl?\r").split() == [b"3", b"0"]
    core.set_interlock(False)
    assert client.ask(b"l1\rl?\r").split() == [b"OK", b"0"]
    assert client.ask(b"cf\rl1\rl?\r").split() == [b"OK", b"OK", b"1"]


def test_autostart_waits_for_the_key_and_then_for_its_start() -> None:
    core = Cobolt06("1", autostart=True)
    client = Client(core)
    client.ask(b"p 0.035\r")
    assert client.ask(b"l1\r").startswith(b"Syntax error")
    assert client.ask(b"@cob1\rl?\rgom?\r").split() == [b"OK", b"0", b"1"]
    core.set_key_lock(True)
    core.set_key_lock(False)
    assert client.ask(b"l?\rgom?\r").split() == [b"1", b"2"]
    assert core.current_a == 0
    run(core, 3)
    assert core.current_a == pytest.approx(0.06)
    client.ask(b"l0\r")
    assert client.ask(b"gom?\r") == b"6\r\n"
    assert client.ask(b"@cob1\rgom?\r").split() == [b"OK", b"2"]
    core.set_key_lock(True)
    assert core.current_a == 0


def test_a_hot_base_plate_is_a_fault() -> None:
    core = Cobolt06("1")
    client = lit(core)
    core.warm_by(40)
    run(core, 0.1)
    assert client.ask(b"f?\rl?\r").split() == [b"1", b"0"]


def test_a_power_cycle_leaves_the_light_off_and_keeps_the_set_point() -> None:
    core = Cobolt06("1")
    client = lit(core)
    core.power_cycle()
    assert client.ask(b"l?\rp?\r").split() == [b"0", b"0.0350"]
    core.lose_settings()
    assert client.ask(b"p?\r") == b"0.0000\r\n"

"""The DD-100-MC, in its own bytes."""

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.dd100 import Dd100


def homed(core: Dd100) -> Client:
    client = Client(core)
    assert client.ask(b"H\r") == b""
    run(core, 36)
    assert client.heard() == b"Done\r\n\r\n"
    return client


@pytest.mark.parametrize("command", [b"D\r", b"A10.00\r\n"])
def test_nothing_is_known_before_it_has_homed(command: bytes) -> None:
    assert Client(Dd100()).ask(command) == b"Error!\r\n"


def test_homing_takes_its_time_and_ends_at_the_insertion_loss() -> None:
    core = Dd100()
    assert core.loss_db == 60
    client = Client(core)
    client.ask(b"H\rD\r")
    run(core, 30)
    assert client.heard() == b""
    run(core, 6)
    assert client.heard() == b"Done\r\n\r\nDPos:80\r\nATTEN:0.80\r\nDone\r\n\r\n"
    assert core.loss_db == pytest.approx(0.8)


def test_a_loss_is_reached_and_told() -> None:
    core = Dd100()
    client = homed(core)
    client.ask(b"A10.00\r")
    run(core, 1)
    assert client.heard() == b"Pos:1000\r\nDone\r\n\r\n"
    assert client.ask(b"D\r") == b"DPos:1000\r\nATTEN:10.00\r\nDone\r\n\r\n"
    assert client.ask(b"A99\r") == b"Error!\r\n" == client.ask(b"A0.1\r")
    assert b"IL:0.80\r\nMAX ATTEN:60.00\r\n" in client.ask(b"CD\r\n")


def test_some_boxes_echo() -> None:
    core = Dd100()
    core.revision = "echo"
    assert Client(core).ask(b"CD\r").startswith(b"CD\r\n")


def test_a_power_cycle_forgets_the_home_but_moves_nothing() -> None:
    core = Dd100()
    client = homed(core)
    core.power_cycle()
    assert core.loss_db == pytest.approx(0.8)
    assert client.ask(b"D\r") == b"Error!\r\n"

"""The HA9, in its own bytes."""

import math

import pytest
from direct import Client, run

from qkd_firmware_sim.cores.ha9 import Ha9


def test_losses_are_reached_by_a_motor_and_wavelengths_are_told_in_metres() -> None:
    core = Ha9()
    client = Client(core)
    assert client.ask(b"D0\nATT 10.5 dB;CNB?\n") == b"0\n"
    assert client.ask(b"ATT?\n") == b"10.50\n" and core.loss_db == 0
    run(core, 1)
    assert client.ask(b"CNB?\n") == b"4\n" and core.loss_db == pytest.approx(10.5)
    assert client.ask(b"WVL 1550 NM\nWVL?\n") == b"1.55000E-06\n"
    assert client.ask(b"WVL? MIN\nWVL? MAX\n") == b"1.20000E-06\n1.65000E-06\n"


def test_the_beam_is_blocked_at_first_and_whenever_it_is_asked_for() -> None:
    core = Ha9()
    client = Client(core)
    assert core.loss_db == math.inf
    assert client.ask(b"D0\nD?\n") == b"0\n" and core.loss_db == 0
    assert client.ask(b"D1\nD?\n") == b"1\n" and core.loss_db == math.inf


def test_what_is_out_of_range_or_unknown_is_silence() -> None:
    client = Client(Ha9())
    assert client.ask(b"ATT 200 dB\nWVL 405 NM\n*IDN?\nATT?\nWVL?\n") == b"0.00\n1.31000E-06\n"


def test_reset_goes_to_1310_nm() -> None:
    core = Ha9()
    client = Client(core)
    client.ask(b"WVL 1550 nm\nATT 3\nD0\nRESET\n")
    assert core.wavelength_m == pytest.approx(1.31e-6) and core.loss_db == math.inf

"""The Elliptec bus, in its own bytes."""

import math

import numpy as np
import pytest
from direct import Client, run
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_firmware_sim.cores.ell14 import COUNTS_PER_TURN, HALF, Ell14Bus
from qkd_firmware_sim.optics import rotation

EIGHTH = f"{COUNTS_PER_TURN // 8:08X}".encode()


def test_a_request_has_no_terminator_and_a_reply_has() -> None:
    client = Client(Ell14Bus("SN-7"))
    assert client.ask(b"0in") == b"0IN0E00000700202117010168" + b"00023000\r\n"
    assert client.ask(b"1g") == b""
    assert client.ask(b"p") == b"1PO00000000\r\n"
    assert client.ask(b"2gs1gv") == b"2GS00\r\n1GV64\r\n"
    assert client.ask(b"7in") == b"", "nobody sits there"


def test_a_move_answers_when_it_ends_and_is_busy_until_then() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    assert client.ask(b"0ma" + EIGHTH) == b""
    run(core, 0.05)
    assert client.ask(b"0gp1gp") == b"0GS09\r\n1PO00000000\r\n"
    run(core, 0.2)
    assert client.heard() == b"0PO" + EIGHTH + b"\r\n"
    run(core, 1)
    assert client.ask(b"0mrFFFFFFFF") == b""
    run(core, 0.1)
    assert client.heard() == f"0PO{COUNTS_PER_TURN // 8 - 1:08X}\r\n".encode()


def test_a_move_right_after_another_runs_to_zero() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    client.ask(b"0ma" + EIGHTH)
    while not client.heard():
        core.advance(core.now_ps + 10**9)
    client.ask(b"0ma" + EIGHTH)
    run(core, 1)
    assert client.heard() == b"0PO00000000\r\n"


def test_the_counter_forgets_where_the_mount_stands_until_it_is_homed() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    client.ask(b"0ma" + EIGHTH)
    run(core, 1)
    core.power_cycle()
    assert client.ask(b"0gp") == b"0PO00000000\r\n"
    assert core.mounts["0"].angle_rad == pytest.approx(math.pi / 4)
    client.ask(b"0ho0")
    run(core, 1)
    assert client.heard() == b"0PO00000000\r\n"
    assert core.mounts["0"].angle_rad == 0


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"0xx", b"0GS03\r\n"),
        (b"0ma0000000z", b"0GS03\r\n"),
        (b"0ma00024000", b"0GS04\r\n"),
        (b"0sv00", b"0GS03\r\n"),
        (b"0i3", b"0GS03\r\n"),
    ],
)
def test_what_it_refuses_is_a_status_until_it_is_asked_for(request_: bytes, answer: bytes) -> None:
    client = Client(Ell14Bus("1"))
    assert client.ask(request_) == answer
    assert client.ask(b"0gs") == answer
    assert client.ask(b"0gs") == b"0GS00\r\n"


def test_half_a_request_is_a_communication_time_out() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    client.ask(b"0ma0000")
    run(core, 1)
    assert client.ask(b"0gs") == b"0GS01\r\n"


def test_a_jammed_motor_ends_its_move_with_a_mechanical_time_out() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    core.latched = True
    client.ask(b"1ma" + EIGHTH)
    run(core, 0.1)
    assert client.heard() == b"1GS02\r\n"
    core.latched = False
    assert client.ask(b"1gs1gs") == b"1GS02\r\n1GS00\r\n"


def test_a_button_speaks_unasked() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    core.press_button("2", 256)
    assert client.heard() == b"2BS01\r\n2BO00000100\r\n"


def test_settings_last_when_they_are_saved_and_addresses_can_be_changed() -> None:
    core = Ell14Bus("1")
    client = Client(core)
    assert client.ask(b"0sv32") == b"0GS00\r\n"
    core.power_cycle()
    assert client.ask(b"0gv") == b"0GV64\r\n"
    client.ask(b"0sv320us")
    core.power_cycle()
    assert client.ask(b"0gv") == b"0GV32\r\n"
    core.lose_settings()
    assert client.ask(b"0gv") == b"0GV64\r\n"
    assert client.ask(b"0ca5") == b"5GS00\r\n"
    assert client.ask(b"5gs0gs") == b"5GS00\r\n"
    assert client.ask(b"1ca2") == b"1GS03\r\n", "taken"


def test_a_half_wave_plate_turns_twice_its_angle() -> None:
    core = Ell14Bus("1", (HALF,))
    client = Client(core)
    client.ask(b"0ma" + EIGHTH)
    run(core, 1)
    assert np.allclose(core.turn(0), rotation((0, math.pi, 0)))


@given(st.lists(st.binary(max_size=12), max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    core = Ell14Bus("1")
    client = Client(core)
    for piece in pieces:
        client.ask(piece)
        core.advance(core.now_ps + 10**11)
    run(core, 3)
    client.heard()
    for address in core.mounts:
        assert client.ask(address.encode() + b"gv").startswith(address.encode() + b"GV")

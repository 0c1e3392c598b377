"""The APT motor controllers, in their own bytes."""

import struct

import numpy as np
import pytest
from direct import Client, run
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_firmware_sim.cores.k10cr1 import K10cr1
from qkd_firmware_sim.cores.mpc320 import Mpc320
from qkd_firmware_sim.optics import rotation

REQUEST_INFO = bytes.fromhex("050000005001")
TURN = 409600 * 120
MODELS = pytest.mark.parametrize("make", [K10cr1, Mpc320])


def short(number: int, first: int = 0, second: int = 0) -> bytes:
    return struct.pack("<HBBBB", number, first, second, 0x50, 0x01)


def long(number: int, layout: str, *fields: int) -> bytes:
    data = struct.pack(layout, *fields)
    return struct.pack("<HHBB", number, len(data), 0xD0, 0x01) + data


def status(client: Client, channel: int = 1) -> tuple[int, int]:
    """Position and status bits."""
    answer = client.ask(short(0x0490, channel))
    assert answer[:6] == bytes.fromhex("91040e008150")
    _, counts, _, _, bits = struct.unpack("<HihhI", answer[6:])
    return counts, bits


@MODELS
def test_hardware_information_is_a_long_message(make: type) -> None:
    answer = Client(make("SN-55000123")).ask(REQUEST_INFO)
    assert answer[:6] == bytes.fromhex("060054008150") and len(answer) == 90
    serial_number, model = struct.unpack("<I8s", answer[6:18])
    assert serial_number == 55000123
    assert model.rstrip(b"\0").decode() == make.model


def test_a_move_ends_with_a_message_nobody_asked_for() -> None:
    core = K10cr1("1")
    client = Client(core)
    assert client.ask(long(0x0453, "<Hi", 1, TURN // 8)) == b""
    run(core, 1)
    counts, bits = status(client)
    assert 0 < counts < TURN // 8 and bits & 0x30
    run(core, 4)
    done = client.heard()
    assert done[:6] == bytes.fromhex("64040e008150")
    assert struct.unpack("<Hi", done[6:12]) == (1, TURN // 8)
    assert core.angles_deg == (45,)
    assert np.allclose(core.turn(0), rotation((0, np.pi, 0)))


def test_stop_and_home_say_so_when_done() -> None:
    core = K10cr1("1")
    client = Client(core)
    client.ask(long(0x0448, "<Hi", 1, TURN))
    run(core, 1)
    stopped = client.ask(short(0x0465, 1, 1))
    assert stopped[:6] == bytes.fromhex("66040e008150")
    assert 0 < struct.unpack("<Hi", stopped[6:12])[1] < TURN
    assert not status(client)[1] & 0x400
    client.ask(short(0x0443, 1))
    assert status(client)[1] & 0x200
    run(core, 2)
    assert client.heard() == bytes.fromhex("440401000150")
    assert status(client) == (0, 0x80000400)


def test_a_disabled_motor_does_not_move_and_a_jammed_one_says_so() -> None:
    core = K10cr1("1")
    client = Client(core)
    client.ask(short(0x0210, 1, 2))
    assert client.ask(short(0x0211, 1)) == bytes.fromhex("120201020150")
    client.ask(long(0x0453, "<Hi", 1, 1000))
    run(core, 1)
    assert status(client) == (0, 0)
    client.ask(short(0x0210, 1, 1))
    core.latched = True
    client.ask(long(0x0453, "<Hi", 1, 1000))
    run(core, 1)
    assert status(client) == (0, 0x80004000)


def test_enabling_a_paddle_disables_the_others() -> None:
    core = Mpc320("1")
    client = Client(core)

    def enabled() -> list[int]:
        return [client.ask(short(0x0211, channel))[3] for channel in (1, 2, 4)]

    assert enabled() == [2, 2, 2]
    client.ask(short(0x0210, 7, 1))
    assert enabled() == [1, 1, 1]
    client.ask(short(0x0210, 1, 1))
    assert enabled() == [1, 2, 2]


def test_a_paddle_stays_within_its_range_and_its_speed_is_a_setting() -> None:
    core = Mpc320("1")
    client = Client(core)
    client.ask(short(0x0210, 7, 1) + long(0x0530, "<6H", 0, 10, 0, 25, 25, 25))
    assert client.ask(short(0x0531, 0))[6:] == struct.pack("<6H", 0, 10, 0, 25, 25, 25)
    client.ask(long(0x0453, "<Hi", 4, 5000))
    run(core, 2)
    assert core.angles_deg[2] == pytest.approx(80, abs=3)
    run(core, 4)
    client.heard()
    assert status(client, 4)[0] == 1370


def test_updates_come_until_they_are_stopped() -> None:
    core = Mpc320("1")
    client = Client(core)
    client.ask(short(0x0011))
    run(core, 0.35)
    assert len(client.heard()) == 3 * 3 * 20
    client.ask(short(0x0012))
    run(core, 1)
    assert client.heard() == b""


def test_the_zero_is_lost_with_the_power() -> None:
    core = K10cr1("1")
    client = Client(core)
    client.ask(short(0x0443, 1))
    run(core, 1)
    client.ask(long(0x0453, "<Hi", 1, TURN // 4))
    run(core, 10)
    core.power_cycle()
    assert status(client) == (0, 0x80000000)
    assert core.angles_deg == (90,)
    client.ask(short(0x0443, 1))
    run(core, 10)
    assert core.angles_deg == (0,)


@MODELS
@given(st.lists(st.binary(max_size=24), max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_it(make: type, pieces: list[bytes]) -> None:
    core = make("1")
    client = Client(core)
    for piece in pieces:
        client.ask(piece)
        core.advance(core.now_ps + 10**11)
    client.ask(bytes(600))
    client.heard()
    assert len(client.ask(REQUEST_INFO)) == 90

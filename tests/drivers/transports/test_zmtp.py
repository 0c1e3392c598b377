"""The wire of a ZeroMQ socket, step by step and without one."""

from collections.abc import Generator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_drivers.transports.zmtp import Frame, Greeted, Need, Say, Step, ZmtpError, conversation

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(52, b"\0")
READY = b"\x05READY" + b"\x0bSocket-Type" + b"\x00\x00\x00\x04PAIR"


def command(body: bytes) -> bytes:
    return bytes([4, len(body)]) + body


def play(data: bytes) -> Generator[Step, None, None]:
    """All steps that are not a need, for as long as data lasts; frames are read with the rest."""
    talk = conversation()
    step = next(talk)
    at = 0
    while True:
        if isinstance(step, Need):
            assert 0 <= step.size_bytes <= 1 << 12
            if at + step.size_bytes > len(data):
                return
            piece, at = data[at : at + step.size_bytes], at + step.size_bytes
            step = talk.send(piece)
            continue
        yield step
        at += step.size_bytes if isinstance(step, Frame) else 0
        step = next(talk)


def test_both_ends_greet_and_get_ready_before_a_message() -> None:
    """The bytes of RFC 23 and 37; the body of a message is left to its reader."""
    data = (
        GREETING + command(READY) + b"\x00\x03abc" + b"\x00\x00" + b"\x02" + bytes(6) + b"\x01\x00"
    )
    said, ready, greeted, *frames = play(data)
    assert said == Say(GREETING) and greeted == Greeted()
    assert ready == Say(command(READY))
    assert frames == [Frame(3), Frame(0), Frame(256)]


def test_a_ping_is_answered_with_its_context() -> None:
    """Also before a message; the time that it allows is of no account here."""
    ping = command(b"\x04PING\x00\x0awho?")
    *_, greeted, pong, frame = play(GREETING + command(READY) + ping + b"\x00\x01x")
    assert greeted == Greeted() and frame == Frame(1)
    assert pong == Say(command(b"\x04PONGwho?"))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request".ljust(64), "no greeting"),
        (GREETING[:10] + b"\x01" + GREETING[11:], "version 1"),
        (GREETING.replace(b"NULL\0", b"CURVE"), "security CURVE"),
        (GREETING + b"\x00\x01", "before its turn"),
        (GREETING + command(READY) + b"\x01\x01", "several parts"),
        (GREETING + b"\x06" + bytes(5) + b"\x01\x00\x00", "65536 bytes"),
        (GREETING + command(b"\x05ERROR\x07Go away"), "declines: Go away"),
    ],
)
def test_what_no_pair_socket_says_is_named(data: bytes, complaint: str) -> None:
    """Strangers, older versions, locked doors, and messages that are none of ours."""
    with pytest.raises(ZmtpError, match=complaint):
        list(play(data))


@given(st.binary(max_size=200), st.integers(0, 2))
def test_any_bytes_are_steps_or_refused(data: bytes, known: int) -> None:
    """Whatever follows a greeting, or a handshake, or nothing."""
    begun = (b"", GREETING, GREETING + command(READY))[known]
    try:
        for step, _ in zip(play(begun + data), count(), strict=False):
            assert isinstance(step, Say | Greeted | Frame)
    except ZmtpError:
        pass

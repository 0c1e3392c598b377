"""ZMTP 3, the wire of ZeroMQ sockets (rfc.zeromq.org: 23/ZMTP and 37/ZMTP), for a PAIR socket
without security that only takes messages: bytes in, steps out.

The library gets memory anew for each frame, however large, and hands it over once all of it has
come. Here the reader of a frame says where its bytes go, piece by piece.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass

_SIGNATURE_BYTES = 10
_GREETING = (b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL").ljust(64, b"\0")
_MORE, _LONG, _COMMAND = 1, 2, 4
_MOST_COMMAND_BYTES = 1 << 12


class ZmtpError(Exception):
    """The peer does not speak ZMTP 3, or not as a PAIR socket may."""


@dataclass(frozen=True)
class Need:
    """Exactly so many bytes come next and are sent into the conversation."""

    size_bytes: int


@dataclass(frozen=True)
class Say:
    """Bytes for the peer."""

    data: bytes


@dataclass(frozen=True)
class Greeted:
    """The peer is ready: messages may come."""


@dataclass(frozen=True)
class Frame:
    """A message of so many bytes, which come next and are not for the conversation."""

    size_bytes: int


Step = Need | Say | Greeted | Frame


def conversation() -> Generator[Step, bytes, None]:
    """All that a PAIR socket hears and says, in steps and without end. ZmtpError."""
    yield Say(_GREETING)
    _check_greeting((yield Need(len(_GREETING))))
    yield Say(_command(b"READY", _property(b"Socket-Type", b"PAIR")))
    ready = False
    while True:
        flags = (yield Need(1))[0]
        size_bytes = int.from_bytes((yield Need(8 if flags & _LONG else 1)), "big")
        if not flags & _COMMAND:
            if not ready or flags & _MORE:
                raise ZmtpError("a message before its turn, or one of several parts")
            yield Frame(size_bytes)
            continue
        if size_bytes > _MOST_COMMAND_BYTES:
            raise ZmtpError(f"a command of {size_bytes} bytes")
        name, body = _named((yield Need(size_bytes)))
        match name:
            case b"READY" if not ready:
                ready = True
                yield Greeted()
            case b"PING":
                yield Say(_command(b"PONG", body[2:]))  # after the time for which it will wait
            case b"ERROR":
                raise ZmtpError(f"it declines: {body[1:].decode('ascii', 'replace')}")


def _check_greeting(data: bytes) -> None:
    if data[0] != 0xFF or data[_SIGNATURE_BYTES - 1] != 0x7F:
        raise ZmtpError("no greeting of ZeroMQ")
    if data[_SIGNATURE_BYTES] < 3:
        raise ZmtpError(f"version {data[_SIGNATURE_BYTES]} of its protocol, not 3")
    mechanism = data[12:32].rstrip(b"\0")
    if mechanism != b"NULL":
        raise ZmtpError(f"security {mechanism.decode('ascii', 'replace')}, not none")


def _command(name: bytes, body: bytes) -> bytes:
    whole = bytes([len(name)]) + name + body
    return bytes([_COMMAND, len(whole)]) + whole


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def _named(command: bytes) -> tuple[bytes, bytes]:
    length = command[0] if command else 0
    return command[1 : 1 + length], command[1 + length :]

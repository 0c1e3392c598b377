"""One well-formed envelope or a ProtocolError."""

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qkd_controller.link.codec import SESSION, Codec, Envelope
from qkd_controller.link.errors import ProtocolError
from qkd_controller.link.message import BlockMessage, Message


class Plain(Message, frozen=True):
    text: str
    data: bytes


class About(BlockMessage, frozen=True):
    values: tuple[int, ...]


class Foreign(Message, frozen=True):
    """Not in the codec."""


CODEC = Codec((Plain, About))
GOOD = CODEC.encode(Envelope(3, 7, About(7, (1, 2))))


@given(st.text(), st.binary(), st.integers(0, 2**63 - 1))
def test_session_messages_survive(text, data, sequence):
    envelope = Envelope(sequence, SESSION, Plain(text, data))
    assert CODEC.decode(CODEC.encode(envelope)) == envelope


@given(st.integers(1, 2**63 - 1), st.lists(st.integers(-(2**63), 2**64 - 1)))
def test_block_messages_survive(block, values):
    envelope = Envelope(1, block, About(block, tuple(values)))
    assert CODEC.decode(CODEC.encode(envelope)) == envelope


@given(st.binary(max_size=300))
@example(b"\x91" * 100_000)
@example(b"")
def test_any_bytes_decode_or_raise_protocol_error(payload):
    with contextlib.suppress(ProtocolError):
        assert isinstance(CODEC.decode(payload), Envelope)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_an_altered_message_decodes_or_raises_protocol_error(place, change):
    altered = bytearray(GOOD)
    altered[place] ^= change
    with contextlib.suppress(ProtocolError):
        assert isinstance(CODEC.decode(bytes(altered)), Envelope)


@pytest.mark.parametrize(
    "envelope",
    [
        [1, 8, ["About", 7, []]],
        [1, 0, ["About", 0, []]],
        [1, -1, ["About", -1, []]],
        [1, 5, ["Plain", "", b""]],
        [-1, 0, ["Plain", "", b""]],
        [1, 0, ["Foreign"]],
        [1, 0, ["Plain", 3, b""]],
        [1, 0],
    ],
)
def test_what_does_not_fit_is_refused(envelope):
    with pytest.raises(ProtocolError):
        CODEC.decode(msgspec.msgpack.encode(envelope))


def test_foreign_messages_are_not_encoded_and_names_must_differ():
    with pytest.raises(ValueError, match="Foreign"):
        CODEC.encode(Envelope(1, SESSION, Foreign()))
    with pytest.raises(ValueError, match="one name"):
        Codec((Plain, Plain))

"""Hostile bytes never do more than raise ProtocolError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.link.errors import ProtocolError
from qkd_controller.link.framing import FrameDecoder, frame


def drained(decoder):
    payloads = []
    while (payload := decoder.next_frame()) is not None:
        payloads.append(payload)
    return payloads


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8), st.data())
def test_payloads_survive_any_chunking(payloads, data):
    stream = b"".join(part for payload in payloads for part in frame(payload))
    decoder, received = FrameDecoder(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        decoder.feed(stream[:cut])
        stream = stream[cut:]
        received += drained(decoder)
    assert received == payloads


@given(st.lists(st.binary(max_size=64), max_size=10))
def test_garbage_is_cut_or_refused_and_never_longer_than_allowed(chunks):
    decoder = FrameDecoder(max_bytes=32)
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            assert all(0 < len(payload) <= 32 for payload in drained(decoder))
    except ProtocolError:
        pass


@pytest.mark.parametrize("prefix", [b"\0\0\0\0", b"\0\0\0\x21", b"\xff\xff\xff\xff"])
def test_a_forbidden_length_is_refused_before_its_payload_comes(prefix):
    decoder = FrameDecoder(max_bytes=32)
    decoder.feed(prefix)
    with pytest.raises(ProtocolError):
        decoder.next_frame()


def test_a_payload_that_is_too_long_or_empty_is_not_sent():
    for payload in (b"", bytes(33)):
        with pytest.raises(ProtocolError):
            frame(payload, max_bytes=32)

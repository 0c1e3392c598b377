"""Hostile bytes never do more than raise ProtocolError."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.link.errors import ProtocolError
from qkd_controller.link.framing import FrameDecoder, frame


def feed(decoder, stream):
    """Writes a stream where the decoder wants it; the payloads that it cuts."""
    payloads = drained(decoder)
    while stream:
        place = decoder.place()
        assert place, "there is room while a frame is not whole"
        count = min(len(place), len(stream))
        place[:count], stream = stream[:count], stream[count:]
        decoder.took(count)
        payloads += drained(decoder)
    return payloads


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
        received += feed(decoder, stream[:cut])
        stream = stream[cut:]
    assert received == payloads


@given(
    st.lists(st.integers(1, 300_000), min_size=1, max_size=6),
    st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
)
def test_long_and_short_payloads_survive_in_turn(lengths, chunks):
    """Whatever part of a long one comes with the end of another."""
    payloads = [bytes([n % 251]) * length for n, length in enumerate(lengths)]
    stream = b"".join(part for payload in payloads for part in frame(payload))
    decoder, received, at = FrameDecoder(), [], 0
    for chunk in itertools.cycle(chunks):
        if at >= len(stream):
            break
        received += feed(decoder, stream[at : at + chunk])
        at += chunk
    assert received == payloads


@given(st.lists(st.binary(max_size=64), max_size=10))
def test_garbage_is_cut_or_refused_and_never_longer_than_allowed(chunks):
    decoder = FrameDecoder(max_bytes=32)
    try:
        for chunk in chunks:
            assert all(0 < len(payload) <= 32 for payload in feed(decoder, chunk))
    except ProtocolError:
        pass


@pytest.mark.parametrize("prefix", [b"\0\0\0\0", b"\0\0\0\x21", b"\xff\xff\xff\xff"])
def test_a_forbidden_length_is_refused_before_its_payload_comes(prefix):
    decoder = FrameDecoder(max_bytes=32)
    with pytest.raises(ProtocolError):
        feed(decoder, prefix)


def test_a_payload_that_is_too_long_or_empty_is_not_sent():
    for payload in (b"", bytes(33)):
        with pytest.raises(ProtocolError):
            frame(payload, max_bytes=32)

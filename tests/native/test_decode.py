"""Decoders of time tag words against plain Python ones, and against the hazards of real streams."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_native.decode import (
    T2Decoder,
    Tdc1Decoder,
    decode_a1,
    decode_idq,
    decode_legacy,
    decode_qutag,
)
from qkd_native.tier import Tier, forced, supported

WRAP = 1 << 27
DUMMY = 0x10
Word = tuple[int, int]
"""Step in ticks since the word before, and the low five bits."""

steps = st.one_of(st.integers(0, 1000), st.integers(0, 75_000_000), st.integers(-(1 << 16), -1))
words = st.lists(st.tuples(steps, st.integers(0, 31)), max_size=60)


def tdc1_bytes(start: int, steps_and_flags: list[Word]) -> bytes:
    ticks, packed = start, bytearray()
    for step, flags in steps_and_flags:
        ticks += step
        packed += struct.pack("<I", (ticks % WRAP) << 5 | flags)
    return bytes(packed)


def oracle(steps_and_flags: list[Word]) -> list[tuple[int, int]]:
    tags, ticks = [], 0
    for i, (step, flags) in enumerate(steps_and_flags):
        ticks += step if i else 0
        if not flags & DUMMY:
            tags += [(2000 * ticks, bit + 1) for bit in range(4) if flags >> bit & 1]
    return tags


@given(st.integers(0, WRAP - 1), words, st.lists(st.integers(0, 240), max_size=6))
def test_tdc1_matches_the_oracle_however_the_bytes_are_cut(
    start: int, stream: list[Word], cuts: list[int]
) -> None:
    data = tdc1_bytes(start, stream)
    decoder = Tdc1Decoder()
    tags: list[tuple[int, int]] = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in pairwise(edges):
        times, channels = decoder.feed(data[begin:end])
        assert times.dtype == np.int64 and channels.dtype == np.uint8
        tags += zip(times.tolist(), channels.tolist(), strict=True)
    assert tags == oracle(stream)
    assert decoder.words == len(stream)
    assert decoder.dummies == sum(flags >> 4 for _, flags in stream)
    assert decoder.backward_steps == sum(step < 0 for step, _ in stream[1:])
    assert decoder.implausible == sum(flags == 0 for _, flags in stream)
    assert decoder.end_ps == 2000 * sum(step for step, _ in stream[1:])


def test_tdc1_keeps_time_on_dummies_alone() -> None:
    """At 140 ms a dummy the top bit of the counter alone would miss wraps."""
    decoder = Tdc1Decoder()
    times, _ = decoder.feed(tdc1_bytes(12345, [(70_000_000, DUMMY)] * 1000 + [(5, 1)]))
    assert times.tolist() == [2000 * (999 * 70_000_000 + 5)]
    assert decoder.dummies == 1000 and decoder.implausible == 0


@given(st.integers(0, 199), st.integers(20, 5000))
def test_two_lost_bytes_are_noticed(at: int, spacing: int) -> None:
    data = tdc1_bytes(99_999_999, [(spacing, 1 << i % 4) for i in range(400)])
    decoder = Tdc1Decoder()
    decoder.feed(data[: 4 * at + 1] + data[4 * at + 3 :])
    assert decoder.implausible > 0 or decoder.partial_bytes
    assert decoder.partial_bytes == 2


PLAUSIBLE, DISORDER = 75_000_000, 1 << 16


@given(
    st.integers(0, WRAP - 1),
    st.integers(0, 70_000_000),
    st.integers(0, 70_000_000),
    st.one_of(st.integers(0, 31).map(lambda bit: 1 << bit), st.integers(1, 2**32 - 1)),
)
def test_what_can_be_told_of_a_damaged_word(start: int, before: int, after: int, mask: int) -> None:
    """A word that is neither event nor dummy, or that lies farther from its neighbours than the
    box's own disorder. What cannot be told moves one tag, or all later ones by a whole turn."""
    sound = [(0, 1), (before, 1), (after, 1), (1000, 1)]
    data = bytearray(tdc1_bytes(start, sound))
    word = struct.unpack_from("<I", data, 4)[0] ^ mask
    struct.pack_into("<I", data, 4, word)
    moved = ((word >> 5) - start - before) % WRAP
    moved -= WRAP if moved > WRAP // 2 else 0
    decoder = Tdc1Decoder()
    times, channels = decoder.feed(bytes(data))

    in_place = -(DISORDER + before) <= moved <= DISORDER + after
    in_reach = before + moved <= PLAUSIBLE and after - moved <= PLAUSIBLE
    turn_on = WRAP - PLAUSIBLE + after <= moved <= PLAUSIBLE - before
    turn_back = WRAP - PLAUSIBLE + before <= -moved <= PLAUSIBLE - after
    told = word & 31 == 0 or not ((in_place and in_reach) or turn_on or turn_back)
    assert (decoder.implausible > 0) == told
    if told:
        return
    others = times[channels == 1][[0, -2, -1]]
    turn_ps = 2000 * WRAP * (turn_on or turn_back)
    assert (others - 2000 * np.cumsum([0, before + after, 1000])).tolist() == [0, turn_ps, turn_ps]


def test_of_the_bits_of_a_busy_stream_ten_tell_alone() -> None:
    """At ten thousand words a second and more: the event's own, and those of 262 µs to 67 ms."""
    for gap in (1, 500, 5000, 50_000):
        told = []
        for bit in range(32):
            data = bytearray(tdc1_bytes(3, [(gap, 1)] * 9))
            struct.pack_into("<I", data, 16, struct.unpack_from("<I", data, 16)[0] ^ 1 << bit)
            decoder = Tdc1Decoder()
            decoder.feed(bytes(data))
            told += [bit] * (decoder.implausible > 0)
        assert told == [0, *range(22, 31)]


@given(
    st.lists(st.tuples(st.integers(0, (1 << 54) - 1), st.integers(0, 63)), max_size=40),
    st.booleans(),
    st.integers(0, 7),
)
def test_a1_matches_the_oracle(events: list[Word], swapped: bool, torn: int) -> None:
    packed = bytearray()
    for time, flags in events:
        raw = struct.pack("<Q", time << 10 | 0b1100 << 6 | flags)
        packed += raw[4:] + raw[:4] if swapped else raw
    found = decode_a1(bytes(packed) + bytes(torn), swapped=swapped)
    wanted = [
        (time * 1000 // 256, bit + 1)
        for time, flags in events
        if not flags & DUMMY
        for bit in range(4)
        if flags >> bit & 1
    ]
    assert list(zip(found.times_ps.tolist(), found.channels.tolist(), strict=True)) == wanted
    assert found.words == len(events)
    assert found.dummies == sum(flags >> 4 & 1 for _, flags in events)


@given(st.lists(st.tuples(st.integers(0, (1 << 49) - 1), st.integers(0, 15)), max_size=40))
def test_legacy_matches_the_oracle(events: list[Word]) -> None:
    packed = b"".join(
        struct.pack("<II", time >> 17, (time & 0x1FFFF) << 15 | pattern) for time, pattern in events
    )
    found = decode_legacy(packed)
    wanted = [
        (time * 125, bit + 1) for time, pattern in events for bit in range(4) if pattern >> bit & 1
    ]
    assert list(zip(found.times_ps.tolist(), found.channels.tolist(), strict=True)) == wanted


t2_words = st.lists(
    st.tuples(
        st.sampled_from(["input", "sync", "marker", "overflow"]),
        st.integers(0, (1 << 25) - 1),
        st.integers(1, 15),
    ),
    max_size=40,
)


@given(t2_words, st.integers(0, 40))
def test_t2_matches_the_oracle_however_it_is_cut(
    records: list[tuple[str, int, int]], cut: int
) -> None:
    packed, wanted, base = bytearray(), [], 0
    for kind, time, number in records:
        match kind:
            case "input":
                word = (number - 1) << 25 | time
                wanted.append((4 * (base + time), number))
            case "sync":
                word = 1 << 31 | time
                wanted.append((4 * (base + time), 0))
            case "marker":
                word = 1 << 31 | number << 25 | time
                wanted.append((4 * (base + time), 128 + number))
            case _:
                word = 1 << 31 | 63 << 25 | time
                base += max(time, 1) << 25
        packed += struct.pack("<I", word)
    decoder = T2Decoder(0x01010204, 4)
    found = []
    for part in (packed[: 4 * cut], packed[4 * cut :]):
        times, channels = decoder.feed(bytes(part))
        found += zip(times.tolist(), channels.tolist(), strict=True)
    assert found == wanted
    assert decoder.overflow_records == sum(kind == "overflow" for kind, _, _ in records)


def test_the_older_t2_boxes_have_their_own_overflow_periods() -> None:
    hydraharp_1 = T2Decoder(0x00010204, 1)
    times, _ = hydraharp_1.feed(struct.pack("<II", 1 << 31 | 63 << 25 | 9, 7))
    assert times.tolist() == [33552007]
    picoharp = T2Decoder(0x00010203, 4)
    times, channels = picoharp.feed(struct.pack("<III", 15 << 28, 1 << 28 | 7, 15 << 28 | 0x23))
    assert times.tolist() == [4 * 210698247, 4 * 210698272]
    assert channels.tolist() == [1, 131]


def test_t2_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="record type"):
        T2Decoder(0x01010304, 1)
    with pytest.raises(ValueError, match="resolution_ps"):
        T2Decoder(0x01010204, 0)


def test_qutag_and_idq_vectors() -> None:
    records = struct.pack("<QHQH", 5_000_000_000_000, 5, 4_999_999_999_000, 1)
    raw = decode_qutag(records + b"torn", header="absent")
    assert raw.times_ps.tolist() == [5_000_000_000_000, 4_999_999_999_000]
    assert raw.channels.tolist() == [5, 1] and raw.backward_steps == 1
    header = bytes.fromhex("87b391fa") + bytes(36)
    assert decode_qutag(header + records).words == 2
    with pytest.raises(ValueError, match="magic"):
        decode_qutag(records)
    assert decode_idq(struct.pack("<QQ", 7, 9), channel=3).times_ps.tolist() == [7, 9]
    indexed = decode_idq(struct.pack("<QQQ", 7, 1, 9), channel=3, reference_index=True)
    assert indexed.times_ps.tolist() == [7] and indexed.channels.tolist() == [3]


@given(st.binary(max_size=400))
def test_no_bytes_upset_a_decoder(data: bytes) -> None:
    Tdc1Decoder().feed(data)
    decode_a1(data)
    decode_legacy(data)
    T2Decoder(0x00010203, 4).feed(data)
    T2Decoder(0x01010204, 0.5).feed(data)
    decode_qutag(data, header="absent")
    decode_idq(data, channel=1, reference_index=True)


@given(st.data())
def test_every_tier_is_the_portable_one(data: st.DataObject) -> None:
    """Whatever the bytes and however they lie in memory; words of one tag prevail."""
    size = data.draw(st.integers(0, 600))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    plain = draw.integers(0, 2**32, size, np.uint32) & 0x7FFFFF00 | np.uint32(1) << draw.integers(
        0, 4, size, np.uint32
    )
    odd = draw.random(size) < data.draw(st.sampled_from([0, 0.02, 0.5]))
    wild = draw.integers(0, 2**32, size, np.uint32) | np.uint32(
        data.draw(st.sampled_from([0, 0xF0000000, 0xFE000000]))
    )
    shift = data.draw(st.integers(0, 7))
    packed = memoryview(bytes(shift) + np.where(odd, wild, plain).astype(np.uint32).tobytes())[
        shift:
    ]

    def decoded() -> list[object]:
        found: list[object] = []
        for record_type in (0x00010203, 0x00010204, 0x01010204):
            for resolution_ps in (0.5, 4):
                t2 = T2Decoder(record_type, resolution_ps)
                found += [*(part.tolist() for part in t2.feed(packed)), t2.overflow_records]
        tdc1 = Tdc1Decoder()
        found += [part.tolist() for part in (*tdc1.feed(packed), *tdc1.feed(packed))]
        found += [tdc1.words, tdc1.dummies, tdc1.backward_steps, tdc1.implausible, tdc1.end_ps]
        for recording in (
            decode_a1(packed),
            decode_a1(packed, swapped=True),
            decode_legacy(packed),
        ):
            found += [recording.times_ps.tolist(), recording.channels.tolist()]
            found += [recording.words, recording.dummies, recording.backward_steps]
        return found

    with forced(Tier.PORTABLE):
        wanted = decoded()
    for tier in supported():
        with forced(tier):
            assert decoded() == wanted


def test_what_a_t2_stream_has_reported_grows_with_its_overflow_records() -> None:
    t2 = T2Decoder(0x01010204, 2.5)
    assert t2.reported_ps == 0
    t2.feed(struct.pack("<II", 9, 0xFE000003))
    assert t2.reported_ps == round(3 * 2**25 * 2.5)


def test_a_stream_may_be_decoded_into_the_callers_arrays() -> None:
    out = np.empty(8, np.int64), np.empty(8, np.uint8)
    t2 = T2Decoder(0x01010204, 4)
    times, channels = t2.feed(struct.pack("<II", 7, 1 << 25 | 9), out)
    assert times.base is out[0] and channels.base is out[1]
    assert times.tolist() == [28, 36] and channels.tolist() == [1, 2]
    times, _ = Tdc1Decoder().feed(struct.pack("<II", 7 << 5 | 1, 9 << 5 | 2), out)
    assert times.tolist() == [0, 4000]
    with pytest.raises(ValueError, match="room for 9"):
        t2.feed(bytes(36), out)
    with pytest.raises(ValueError, match="contiguous"):
        t2.feed(bytes(4), (np.empty(8, np.int64)[::2], out[1]))

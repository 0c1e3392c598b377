"""Raw records to int64 ps and uint8 channels, beside ptufile and NumPy."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.decode import T2Decoder, Tdc1Decoder, decode_a1, decode_idq, decode_qutag

_T2 = 0x01010204
_RATE_HZ = 2e6
_BLOCK = 1 << 14
_STREAM = 1 << 24


def cases() -> Iterator[Case]:
    for count, place in ((_BLOCK, "cache-resident"), (_STREAM, "streaming")):
        words = t2_words(count)
        yield Case(
            "decode T2",
            f"{count} HydraHarp records at 2 MHz, {place}, into given arrays",
            _t2(words),
            (_ptufile(words), Peer("NumPy", lambda words=words: numpy_t2(words))),
            "record",
            count,
            harness.copies_per_s(count, 4 + 9),
            "as bytes copied",
        )
    words = tdc1_words(_BLOCK)
    yield Case(
        "decode TDC1",
        f"{_BLOCK} words, one tag in most, cache-resident, into given arrays",
        _tdc1(words),
        (Peer("NumPy", lambda: numpy_tdc1(words)),),
        "record",
        _BLOCK,
        harness.copies_per_s(_BLOCK, 4 + 9),
        "as bytes copied",
    )
    count = _STREAM // 8
    events = a1_events(count).tobytes()
    yield Case(
        "decode a1",
        f"{count} events, into new arrays",
        lambda: decode_a1(events),
        (Peer("NumPy", lambda: numpy_a1(events)),),
        "record",
        count,
        harness.copies_per_s(count, 8 + 9),
        "as bytes copied",
    )
    records = qutag_records(count)
    yield Case(
        "decode quTAG",
        f"{count} records, into new arrays",
        lambda: decode_qutag(records, header="absent"),
        (Peer("NumPy", lambda: numpy_qutag(records)),),
        "record",
        count,
        harness.copies_per_s(count, 10 + 9),
        "as bytes copied",
    )
    ps = times_ps(count).tobytes()
    yield Case(
        "decode uint64 ps",
        f"{count} words, into new arrays",
        lambda: decode_idq(ps, channel=1),
        (Peer("NumPy", lambda: numpy_uint64(ps)),),
        "record",
        count,
        harness.copies_per_s(count, 8 + 9),
        "as bytes copied",
    )


def times_ps(count: int) -> np.ndarray:
    gaps = np.random.default_rng(1).exponential(1e12 / _RATE_HZ, count)
    return np.cumsum(gaps).astype(np.int64)


def t2_words(count: int) -> np.ndarray:
    """Two inputs, and an overflow record wherever the 25-bit counter of 1 ps ran over."""
    times = times_ps(count)
    turns = times >> 25
    ran_over = np.diff(turns, prepend=0)
    at = np.flatnonzero(ran_over)
    inputs = np.random.default_rng(2).integers(0, 2, count, dtype=np.uint32) << 25
    words = (times & (1 << 25) - 1).astype(np.uint32) | inputs
    marks = (ran_over[at] | 127 << 25).astype(np.uint32)
    return np.insert(words, at, marks)[:count]


def tdc1_words(count: int) -> np.ndarray:
    draw = np.random.default_rng(3)
    pattern = np.uint32(1) << draw.integers(0, 4, count, dtype=np.uint32)
    pattern[draw.random(count) < 0.002] = 3
    return (times_ps(count) // 2000 << 5).astype(np.uint32) | pattern


def a1_events(count: int) -> np.ndarray:
    pattern = np.uint64(1) << np.random.default_rng(4).integers(0, 4, count, dtype=np.uint64)
    return (times_ps(count) * 256 // 1000 << 10).astype(np.uint64) | pattern


def qutag_records(count: int) -> bytes:
    records = np.empty(count, np.dtype([("time_ps", "<u8"), ("channel", "<u2")]))
    records["time_ps"] = times_ps(count)
    records["channel"] = np.arange(count) % 8
    return records.tobytes()


def numpy_t2(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    time = (words & 0x1FFFFFF).astype(np.int64)
    channel = words >> 25
    over = channel == 127
    base = np.cumsum(np.where(over, np.maximum(time, 1), 0)) << 25
    tag = ~over
    special = channel >= 64
    number = np.where(special, np.where(channel > 64, channel + 64, 0), channel + 1)
    return (time + base)[tag], number[tag].astype(np.uint8)


def numpy_tdc1(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    now = (words >> 5).astype(np.int64)
    step = np.diff(now, prepend=now[0]) & (1 << 27) - 1
    step[step >= (1 << 27) - (1 << 16)] -= 1 << 27
    times = np.cumsum(step) * 2000
    bits = np.unpackbits((words & 0x0F).astype(np.uint8)[:, None], axis=1)[:, :3:-1]
    bits[words & 0x10 > 0] = 0
    at, channel = np.nonzero(bits)
    return times[at], (channel + 1).astype(np.uint8)


def numpy_a1(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    events = np.frombuffer(data, "<u8")
    times = ((events >> 10) * 125 // 32).astype(np.int64)
    bits = np.unpackbits((events & 0x0F).astype(np.uint8)[:, None], axis=1)[:, :3:-1]
    bits[events & 0x10 > 0] = 0
    at, channel = np.nonzero(bits)
    return times[at], (channel + 1).astype(np.uint8)


def numpy_qutag(data: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    records = np.frombuffer(data, np.dtype([("time_ps", "<u8"), ("channel", "<u2")]))
    times = records["time_ps"].astype(np.int64)
    return times, records["channel"].astype(np.uint8), np.count_nonzero(np.diff(times) < 0)


def numpy_uint64(data: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    times = np.frombuffer(data, "<u8").astype(np.int64)
    return times, np.ones(len(times), np.uint8), np.count_nonzero(np.diff(times) < 0)


def _t2(words: np.ndarray):
    data, decoder = words.tobytes(), T2Decoder(_T2, 1)
    out = np.empty(len(words), np.int64), np.empty(len(words), np.uint8)
    return lambda: decoder.feed(data, out)


def _tdc1(words: np.ndarray):
    data, decoder = words.tobytes(), Tdc1Decoder()
    out = np.empty(len(data) + 3, np.int64), np.empty(len(data) + 3, np.uint8)
    return lambda: decoder.feed(data, out)


def _ptufile(words: np.ndarray) -> Peer:
    ptufile, missing = harness.optional("ptufile")
    kernels, _ = harness.optional("ptufile._ptufile")
    if ptufile is None or kernels is None:
        return Peer("ptufile", missing=missing)
    out = np.empty(len(words), ptufile.T2_RECORD_DTYPE)
    return Peer("ptufile", lambda: kernels.decode_t2_records(out, words, _T2))

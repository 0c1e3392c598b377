"""Time tag words to detection times (int64 ps) and channels (uint8, from 1 as on the front panel).

No decoder assumes order: the boxes send tags that step back in time. Bytes short of a whole record
at the end of a file are ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qkd_native._kernels import ffi, lib

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
Data = bytes | bytearray | memoryview

_PTU_FLAVOURS = {
    0x00010203: 0,  # PicoHarp 300
    0x00010204: 1,  # HydraHarp, first version
    0x01010204: 2,  # HydraHarp
    0x00010205: 2,  # TimeHarp 260 NANO
    0x00010206: 2,  # TimeHarp 260 PICO
    0x00010207: 2,  # MultiHarp, PicoHarp 330
}
_QUTAG_HEADER_BYTES = 40
_QUTAG_MAGIC = bytes.fromhex("87b391fa")
_QUTAG_RECORD = np.dtype([("time_ps", "<u8"), ("channel", "<u2")])


class Tdc1Decoder:
    """One S-Fifteen TDC1 stream: 32-bit words, 27 bits of 2 ns, a dummy flag, a pattern.

    Time 0 is the first word, dummy or event. Times are unwrapped by their difference modulo 2^27,
    the last 2^16 ticks (131 µs) being taken as a step back.
    """

    def __init__(self) -> None:
        self._state = ffi.new("qkd_tdc1 *")

    def feed(self, data: Data) -> tuple[Times, Channels]:
        """Decodes bytes cut anywhere; the rest of a torn word waits for the next call."""
        room = int(self._state.partial_bytes) + len(data)
        times = np.empty(room, np.int64)
        channels = np.empty(room, np.uint8)
        count = lib.qkd_tdc1_decode(
            self._state, ffi.from_buffer(data), len(data), *_outputs(times, channels)
        )
        return times[:count].copy(), channels[:count].copy()

    @property
    def end_ps(self) -> int:
        """The time of the last word."""
        return int(self._state.ticks) * 2000

    @property
    def words(self) -> int:
        return int(self._state.words)

    @property
    def dummies(self) -> int:
        return int(self._state.dummies)

    @property
    def backward_steps(self) -> int:
        return int(self._state.backward_steps)

    @property
    def implausible(self) -> int:
        """Words that no undisturbed stream holds: jumps over 150 ms, no event and no dummy."""
        return int(self._state.implausible)

    @property
    def partial_bytes(self) -> int:
        """Bytes of a torn word at the end of what was fed."""
        return int(self._state.partial_bytes)


@dataclass(frozen=True)
class Recording:
    """The tags of a file and what else was met in it."""

    times_ps: Times
    channels: Channels
    words: int
    dummies: int = 0
    """Words without an event: roll-over marks, overflow records."""
    backward_steps: int = 0
    """Words earlier than the word before them."""


def decode_a1(data: Data, *, swapped: bool = False) -> Recording:
    """S-Fifteen a1: 64-bit events of 1/256 ns; swapped for the legacy order of halves (``-X``)."""
    return _decode_events(
        data, lambda *arguments: lib.qkd_a1_decode(*arguments[:2], int(swapped), *arguments[2:])
    )


def decode_legacy(data: Data) -> Recording:
    """S-Fifteen legacy raw events: 49 bits of 125 ps, high word first."""
    return _decode_events(data, lib.qkd_legacy_decode)


class T2Decoder:
    """PicoQuant T2 words of one stream. SYNC is channel 0, a marker is 128 + its bits."""

    def __init__(self, record_type: int, resolution_ps: float) -> None:
        if record_type not in _PTU_FLAVOURS:
            raise ValueError(f"record type {record_type:#010x} is not a known T2 format")
        if not resolution_ps > 0:
            raise ValueError(f"resolution_ps = {resolution_ps} is not positive")
        self._flavour = _PTU_FLAVOURS[record_type]
        self._resolution_ps = resolution_ps
        self._state = ffi.new("qkd_t2 *")

    def feed(self, data: Data) -> tuple[Times, Channels]:
        """Decodes whole words; a torn word at the end is ignored."""
        words = len(data) // 4
        ticks = np.empty(words, np.int64)
        channels = np.empty(words, np.uint8)
        count = lib.qkd_t2_decode(
            self._state, ffi.from_buffer(data), words, self._flavour, *_outputs(ticks, channels)
        )
        return self._in_ps(ticks[:count]), channels[:count].copy()

    @property
    def overflow_records(self) -> int:
        return int(self._state.overflow_records)

    def _in_ps(self, ticks: Times) -> Times:
        if float(self._resolution_ps).is_integer():
            scaled: Times = ticks * np.int64(self._resolution_ps)
        else:
            scaled = np.rint(ticks * self._resolution_ps).astype(np.int64)
        return scaled


def decode_qutag(data: Data, *, header: Literal["present", "absent"] = "present") -> Recording:
    """qutools quTAG: 10-byte records of ps and channel, after a 40-byte header if present."""
    if header == "present":
        if bytes(data[:4]) != _QUTAG_MAGIC:
            raise ValueError("this is not a quTAG file: its magic bytes are missing")
        data = memoryview(data)[_QUTAG_HEADER_BYTES:]
    count = len(data) // _QUTAG_RECORD.itemsize
    records = np.frombuffer(data, _QUTAG_RECORD, count)
    times = records["time_ps"].astype(np.int64)
    return Recording(
        times, records["channel"].astype(np.uint8), count, backward_steps=_backward(times)
    )


def decode_idq(data: Data, *, channel: int, reference_index: bool = False) -> Recording:
    """ID Quantique binary: uint64 ps of one channel, each followed by a reference index if so."""
    words = np.frombuffer(data, "<u8", len(data) // 8)
    if reference_index:
        words = words[: len(words) // 2 * 2 : 2]
    times = words.astype(np.int64)
    channels = np.full(len(times), channel, np.uint8)
    return Recording(times, channels, len(times), backward_steps=_backward(times))


def _decode_events(data: Data, kernel: Callable[..., int]) -> Recording:
    events = len(data) // 8
    times = np.empty(4 * events, np.int64)
    channels = np.empty(4 * events, np.uint8)
    counts = ffi.new("qkd_word_counts *")
    tags = kernel(ffi.from_buffer(data), events, *_outputs(times, channels), counts)
    return Recording(
        times[:tags].copy(),
        channels[:tags].copy(),
        int(counts.words),
        int(counts.dummies),
        int(counts.backward_steps),
    )


def _outputs(times: Times, channels: Channels) -> tuple[object, object]:
    return ffi.from_buffer("int64_t[]", times), ffi.from_buffer("uint8_t[]", channels)


def _backward(times: Times) -> int:
    return int(np.count_nonzero(np.diff(times) < 0))

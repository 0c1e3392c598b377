"""Time tag words to detection times (int64 ps) and channels (uint8, from 1 as on the front panel).

No decoder assumes order: the boxes send tags that step back in time. Bytes short of a whole record
at the end of a file are ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qkd_native._kernels import ffi, lib
from qkd_native.arrays import Channels, Out, Times, outputs, room
from qkd_native.tier import current

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
_QUTAG_RECORD_BYTES = 10
_LONGEST_TICK_PS = 2**31


class Tdc1Decoder:
    """One S-Fifteen TDC1 stream: 32-bit words, 27 bits of 2 ns, a dummy flag, a pattern.

    Time 0 is the first word, dummy or event. Times are unwrapped by their difference modulo 2^27,
    the last 2^16 ticks (131 µs) being taken as a step back.
    """

    def __init__(self) -> None:
        self._state = ffi.new("qkd_tdc1 *")

    def feed(self, data: Data, out: Out | None = None) -> tuple[Times, Channels]:
        """Decodes bytes cut anywhere; the rest of a torn word waits for the next call.

        Returns new arrays, or views of out, which must have room for a tag per byte and 3 more.
        """
        times, channels = room(int(self._state.partial_bytes) + len(data), out)
        count = lib.qkd_tdc1_decode(
            current(), self._state, ffi.from_buffer(data), len(data), *outputs(times, channels)
        )
        return _filled(times, channels, count, out)

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

    def kernel(tier: int, source: object, events: int, *rest: object) -> int:
        return int(lib.qkd_a1_decode(tier, source, events, int(swapped), *rest))

    return _decode_events(data, kernel)


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
        # The kernel counts in whole picoseconds, or else in ticks.
        whole = float(resolution_ps).is_integer() and resolution_ps < _LONGEST_TICK_PS
        self._tick_ps = int(resolution_ps) if whole else 1
        self._state = ffi.new("qkd_t2 *")

    def feed(self, data: Data, out: Out | None = None) -> tuple[Times, Channels]:
        """Decodes whole words; a torn word at the end is ignored.

        Returns new arrays, or views of out, which must have room for a tag per word.
        """
        words = len(data) // 4
        times, channels = room(words, out)
        count = lib.qkd_t2_decode(
            current(),
            self._state,
            ffi.from_buffer(data),
            words,
            self._flavour,
            self._tick_ps,
            *outputs(times, channels),
        )
        if self._tick_ps != self._resolution_ps:
            times[:count] = np.rint(times[:count] * self._resolution_ps)
        return _filled(times, channels, count, out)

    @property
    def reported_ps(self) -> int:
        """The time of the last overflow record: no tag that comes later is earlier than it."""
        return round(int(self._state.overflow_ticks) * self._resolution_ps)

    @property
    def overflow_records(self) -> int:
        return int(self._state.overflow_records)


def decode_qutag(data: Data, *, header: Literal["present", "absent"] = "present") -> Recording:
    """qutools quTAG: 10-byte records of ps and channel, after a 40-byte header if present."""
    if header == "present":
        if bytes(data[:4]) != _QUTAG_MAGIC:
            raise ValueError("this is not a quTAG file: its magic bytes are missing")
        data = memoryview(data)[_QUTAG_HEADER_BYTES:]
    count = len(data) // _QUTAG_RECORD_BYTES
    times, channels = room(count, None)
    backward = lib.qkd_qutag_decode(ffi.from_buffer(data), count, *outputs(times, channels))
    return Recording(times, channels, count, backward_steps=int(backward))


def decode_idq(data: Data, *, channel: int, reference_index: bool = False) -> Recording:
    """ID Quantique binary: uint64 ps of one channel, each followed by a reference index if so."""
    stride = 2 if reference_index else 1
    count = len(data) // (8 * stride)
    times = np.empty(count, np.int64)
    backward = lib.qkd_uint64_decode(
        ffi.from_buffer(data), count, stride, ffi.from_buffer("int64_t[]", times)
    )
    channels = np.full(count, channel, np.uint8)
    return Recording(times, channels, count, backward_steps=int(backward))


def _decode_events(data: Data, kernel: Callable[..., int]) -> Recording:
    events = len(data) // 8
    times, channels = room(4 * events, None)
    counts = ffi.new("qkd_word_counts *")
    tags = kernel(current(), ffi.from_buffer(data), events, *outputs(times, channels), counts)
    return Recording(
        *_filled(times, channels, tags, None),
        int(counts.words),
        int(counts.dummies),
        int(counts.backward_steps),
    )


def _filled(times: Times, channels: Channels, tags: int, out: Out | None) -> Out:
    if out is not None:
        return times[:tags], channels[:tags]
    # The memory that was not needed goes back without a copy; nobody else knows these arrays.
    times.resize(tags, refcheck=False)
    channels.resize(tags, refcheck=False)
    return times, channels

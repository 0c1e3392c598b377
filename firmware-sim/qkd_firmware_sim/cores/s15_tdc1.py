"""S-Fifteen TDC1: four-channel time tagger and counter with 2 ns ticks.

Words are 32 bits, little-endian: 27 bits of time, one bit that marks a dummy, four bits of channel
pattern. The stream has neither header nor end; only ``status?`` tells of lost words.
"""

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.cores.s15 import S15Core

TICK_PS = 2000
COUNTER_BITS = 27
DUMMY = 0x10
DUMMY_INTERVAL_TICKS = 70_000_000
FIFO_OVERFLOW = 0x0010

_PACKET_BYTES = 512
_MODES = {"singles": 0, "pairs": 1, "timestamp": 3}
_PAIRS = ((0, 2), (0, 3), (1, 2), (1, 3))
_PAIR_WINDOW_PS = 4000
_PULSE_V = {"nim": (-0.8, 0.0), "ttl": (0.0, 3.3)}

Times = npt.NDArray[np.int64]
Channels = npt.NDArray[np.uint8]


class Tdc1(S15Core):
    """The tagger's firmware, wholly in the time of its own clock."""

    def __init__(
        self,
        serial_number: str,
        random: np.random.Generator,
        *,
        max_start_latency_ps: int = 0,
        fifo_bytes: int = 1 << 20,
        pulses: str = "nim",
    ) -> None:
        super().__init__(f"S-Fifteen Instruments TDC1 {serial_number} firmware 1.2")
        self._random = random
        self._max_start_latency_ps = max_start_latency_ps
        self.fifo_bytes = fifo_bytes
        self._pulses = pulses
        self._start_ps: int | None = None
        self._fifo = bytearray()
        self._counts = [0] * 4
        self._last_tick = 0
        self._factory()
        self._define()

    @property
    def wants_clicks(self) -> bool:
        """Whether a run or a gate is under way, so that clicks matter."""
        return self._start_ps is not None

    @property
    def streaming(self) -> bool:
        return self._start_ps is not None and self._mode == "timestamp"

    def clicks(self, times_ps: Times, channels: Channels) -> None:
        """Pulses at the inputs: sorted times of this clock, channels 1 to 4."""
        if self._start_ps is None or not self._level_fits():
            return
        seen = times_ps >= self._start_ps
        if self._gate_ms:
            seen &= times_ps < self._start_ps + self._gate_ps
        times_ps, channels = times_ps[seen], channels[seen]
        if self._mode == "timestamp":
            self._stream(times_ps, channels)
        else:
            self._count(times_ps, channels)

    def advance(self, now_ps: int) -> None:
        super().advance(now_ps)
        if self._start_ps is None:
            return
        ends = bool(self._gate_ms) and now_ps >= self._start_ps + self._gate_ps
        if self._mode == "timestamp":
            self._fill_silence(min(now_ps, self._start_ps + self._gate_ps) if ends else now_ps)
            if ends:
                self._start_ps = None
            self._release(push=ends)
        elif ends:
            self._start_ps = None
            self._reply(" ".join(str(count) for count in self._counts))
            self._resume()

    def overflow(self) -> None:
        """Loses what the FIFO holds and says so in the status."""
        self._fifo.clear()
        self._status |= FIFO_OVERFLOW

    def _restart(self) -> None:
        self._factory()

    @property
    def backlog_bytes(self) -> int:
        """Bytes on their way to the host, held back for a packet or not."""
        return len(self._output) + len(self._fifo)

    def _busy(self) -> bool:
        return self._start_ps is not None and self._mode != "timestamp"

    def _factory(self) -> None:
        self._mode = "singles"
        self._gate_ms = 1000
        self._level_v = -0.5
        self._reference = 0
        self._status = 0
        self._start_ps = None
        self._fifo.clear()

    @property
    def _gate_ps(self) -> int:
        return self._gate_ms * (PS_PER_S // 1000)

    def _define(self) -> None:
        self._setting("time", lambda: str(_signed16(self._gate_ms)), self._set_gate, 0, 65535)
        self._setting("refclk", lambda: str(self._reference), self._set_reference, 0, 2)
        for name in _MODES:
            self._actions[name] = lambda name=name: self._set_mode(name)  # type: ignore[misc]
        self._queries["mode"] = lambda: str(_MODES[self._mode])
        self._queries["counts"] = self._start
        self._queries["status"] = lambda: f"{self._status:04x} "
        self._queries["eclock"] = lambda: "0"
        self._queries["level"] = lambda: f"{self._level_v:.3f} V"
        self._actions["nim"] = lambda: self._set_level(-0.5)
        self._actions["ttl"] = lambda: self._set_level(1.2)
        self._settings["neg"] = self._level
        self._settings["pos"] = self._level
        self._actions["inpkt"] = lambda: self._release(push=True)
        self._actions["abort"] = self._abort

    def _set_gate(self, value: float) -> None:
        self._gate_ms = int(value)

    def _set_reference(self, value: float) -> None:
        self._reference = int(value)

    def _set_mode(self, mode: str) -> None:
        self._abort()
        self._mode = mode

    def _set_level(self, volt: float) -> None:
        self._level_v = volt

    def _level(self, argument: str) -> None:
        volt = float(argument)
        if not -3.3 <= volt <= 3.3:
            raise ValueError("the level is -3.3 to 3.3")
        self._level_v = volt

    def _level_fits(self) -> bool:
        low, high = _PULSE_V[self._pulses]
        return low + 0.05 < self._level_v < high - 0.05

    def _start(self) -> str:
        if self._mode != "timestamp" and not self._gate_ms:
            raise ValueError("counting needs a gate time")
        self._start_ps = self.now_ps
        self._counts = [0] * (8 if self._mode == "pairs" else 4)
        self._status = 0
        self._fifo.clear()
        self._phase = int(self._random.integers(1 << COUNTER_BITS))
        self._first_out_ps = self.now_ps + int(
            self._random.integers(self._max_start_latency_ps + 1)
        )
        self._last_tick = self.now_ps // TICK_PS
        return ""

    def _abort(self) -> None:
        self._start_ps = None
        self._release(push=True)
        self._waiting.clear()

    def _stream(self, times_ps: Times, channels: Channels) -> None:
        if not len(times_ps):
            return
        ticks = times_ps // TICK_PS
        self._fill_silence(int(times_ps[0]))
        first = np.flatnonzero(np.diff(ticks, prepend=ticks[0] - 1))
        bits = np.left_shift(np.uint32(1), channels.astype(np.uint32) - 1)
        patterns = np.bitwise_or.reduceat(bits, first).astype(np.uint32)
        times = (ticks[first] + self._phase) & ((1 << COUNTER_BITS) - 1)
        self._last_tick = int(ticks[-1])
        self._queue(times.astype(np.uint32) << np.uint32(5) | patterns)

    def _fill_silence(self, until_ps: int) -> None:
        """Dummies, so that the counter can be unwrapped however few the clicks are."""
        while until_ps // TICK_PS - self._last_tick >= DUMMY_INTERVAL_TICKS:
            self._last_tick += DUMMY_INTERVAL_TICKS
            time = (self._last_tick + self._phase) & ((1 << COUNTER_BITS) - 1)
            self._queue(np.array([time << 5 | DUMMY], dtype=np.uint32))

    def _queue(self, words: npt.NDArray[np.uint32]) -> None:
        room = max(0, self.fifo_bytes - self.backlog_bytes) // 4
        if len(words) > room:
            self._status |= FIFO_OVERFLOW
        self._fifo += words[:room].astype("<u4").tobytes()

    def _release(self, *, push: bool) -> None:
        """Hands whole packets to the wire, and the rest too if pushed."""
        if self._start_ps is not None and self.now_ps < self._first_out_ps:
            return
        whole = len(self._fifo) if push else len(self._fifo) // _PACKET_BYTES * _PACKET_BYTES
        data = bytes(self._fifo[:whole])
        del self._fifo[:whole]
        self._emit(data)

    def _count(self, times_ps: Times, channels: Channels) -> None:
        inputs = [times_ps[channels == channel] for channel in (1, 2, 3, 4)]
        for i, times in enumerate(inputs):
            self._counts[i] += len(times)
        if self._mode == "pairs":
            for i, (a, b) in enumerate(_PAIRS, 4):
                low = np.searchsorted(inputs[b], inputs[a] - _PAIR_WINDOW_PS, "left")
                high = np.searchsorted(inputs[b], inputs[a] + _PAIR_WINDOW_PS, "right")
                self._counts[i] += int((high - low).sum())


def _signed16(value: int) -> int:
    """The firmware prints its unsigned gate time as if it were signed."""
    return value - 65536 if value > 32767 else value

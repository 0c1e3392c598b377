"""ID Quantique ID900 and ID1000: time controllers with four inputs.

Tags are recorded in sub-acquisitions; at the end of each, every channel that sends hands its tags,
from 0 on, to the service that passes them on.
"""

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.id900_link import DataLink
from qkd_firmware_sim.cores.id900_panel import Input, Panel, Raw, Times
from qkd_firmware_sim.scpi import ScpiError

TAG_BYTES = 8

_PULSE_V = {"nim": (-0.8, 0.0), "ttl": (0.0, 3.3)}

Tags = npt.NDArray[np.uint8]


class Id900(Panel):
    """The box, wholly in the time of its own clock. `link` is the service on the host."""

    def __init__(
        self,
        serial_number: str,
        *,
        fifo_bytes: int = 1 << 20,
        pulses: str = "nim",
        resolution_ps: int = 1,
    ) -> None:
        super().__init__(f"IDQuantique,ID900,{serial_number},1.14.0", resolution_ps)
        self.fifo_bytes = fifo_bytes
        self.link = DataLink()
        self._pulses = pulses

    @property
    def wants_clicks(self) -> bool:
        """Whether clicks matter; the counters of the inputs run by themselves."""
        return True

    @property
    def backlog_bytes(self) -> int:
        """Tags that wait to be taken, without those of the sub-acquisition under way."""
        return self.link.backlog_bytes

    def clicks(self, times_ps: Times, channels: Tags) -> None:
        """Pulses at the inputs: sorted times of this clock, channels 1 to 4."""
        while (end_ps := self._end_ps()) is not None and len(times_ps) and times_ps[-1] >= end_ps:
            cut = int(np.searchsorted(times_ps, end_ps))
            self._take(times_ps[:cut], channels[:cut])
            self._end_record(end_ps)
            times_ps, channels = times_ps[cut:], channels[cut:]
        self._take(times_ps, channels)

    def advance(self, now_ps: int) -> None:
        """Moves the box's clock on to now_ps."""
        self.now_ps = now_ps
        self.link.advance(now_ps)
        while (end_ps := self._end_ps()) is not None and now_ps >= end_ps:
            self._end_record(end_ps)
        for block in self._inputs.values():
            if block.mode == "CYCL" and now_ps - block.begun_ps >= block.integration_ps:
                block.told, block.running, block.begun_ps = block.running, 0, now_ps

    def overflow(self) -> None:
        """Loses the tags held at this moment, and counts them as errors."""
        for raw in self._raws.values():
            if raw.sends:
                raw.errors += max(1, sum(len(times) for times in raw.held))
                raw.held.clear()

    def power_cycle(self) -> None:
        """The box starts anew with its factory settings; the service on the host goes on."""
        self.reset()
        self.status.clear()

    lose_settings = power_cycle

    def _end_ps(self) -> int | None:
        record = self._record
        if record.start_ps is None:
            return None
        return record.start_ps + (record.index + 1) * record.period_ps

    def _take(self, times_ps: Times, channels: Tags) -> None:
        for number, block in self._inputs.items():
            if not block.enabled or not self._sees(block):
                continue
            times = times_ps[channels == number]
            block.running += len(times)
            if self._record.start_ps is not None:
                self._collect(number, times)

    def _collect(self, number: int, times_ps: Times) -> None:
        record = self._record
        assert record.start_ps is not None
        begin_ps = record.start_ps + record.index * record.period_ps
        for raw in self._raws.values():
            delay_ps = self._way(raw.stop, number)
            if delay_ps is None or not raw.sends:
                continue
            times = times_ps + (delay_ps - begin_ps)
            times = times[(times >= 0) & (times < record.width_ps)]
            raw.held.append(times // self._resolution_ps * self._resolution_ps)

    def _way(self, source: str, number: int) -> int | None:
        """The delay on the way from an input to a block, None if none leads there."""
        if source == f"INPU{number}":
            return 0
        kind, index = source[:4], int(source[4:] or 0)
        if kind == "DELA" and self._delay_links[index] == f"INPU{number}":
            return self._delays[index]
        if kind == "TSCO":
            return self._way(self._combiners[index]["FIR"], number)
        return None

    def _end_record(self, end_ps: int) -> None:
        """Hands over the tags of the sub-acquisition that has ended."""
        record = self._record
        for number, raw in self._raws.items():
            if raw.sends:
                self._send(number, raw)
            raw.held.clear()
        record.index += 1
        if record.number is not None and record.index >= record.number:
            record.start_ps = None

    def _send(self, number: int, raw: Raw) -> None:
        tags = np.concatenate([np.empty(0, np.int64), *raw.held])
        room = max(0, self.fifo_bytes - self.link.backlog_bytes) // TAG_BYTES
        raw.errors += max(0, len(tags) - room)
        if not self.link.deliver(number, tags[:room].astype("<u8").tobytes()):
            raw.errors += 1

    def _sees(self, block: Input) -> bool:
        low, high = _PULSE_V[self._pulses]
        return low + 0.05 < block.threshold_v < high - 0.05

    def _play(self) -> None:
        if not self._record.enabled:
            raise ScpiError(-221, "the record generator is off")
        self._record.start_ps = self.now_ps
        self._record.index = 0
        for raw in self._raws.values():
            raw.held.clear()

    def _stop(self) -> None:
        if self._record.start_ps is not None:
            self._end_record(self.now_ps)
        self._record.start_ps = None

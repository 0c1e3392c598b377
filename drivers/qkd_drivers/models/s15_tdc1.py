"""S-Fifteen TDC1: a time tagger with four inputs and 2 ns ticks.

Commands and words as in pyS15 ``usb_counter_fpga.py`` and qcrypto ``readevents4a.c``. The stream
has no sequence numbers, and the box tells of dropped tags only in ``status?`` after the end: hence
the bounded runs.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import ClassVar

from qkd_drivers.contract import (
    Identity,
    Limits,
    Quality,
    Reading,
    Run,
    SteppedRun,
    Tags,
    TimeTagger,
    Verdict,
)
from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import S15Wire, Trace
from qkd_drivers.identity import s15_identity, verify_model
from qkd_drivers.transports import Transport, make_transport
from qkd_native.arrays import TagMemory
from qkd_native.decode import Tdc1Decoder

FIFO_OVERFLOW = 0x0010
GATE_MARGIN_S = 2.0
LARGEST_LEVEL_V = 3.3
"""Of a discriminator threshold, either sign."""
_CLOCKS = {"auto": 0, "external": 1, "internal": 2}
_STATUS = rb"[0-9A-Fa-f]{4} \r\n"
_STATUS_BYTES = 7
_FLUSH_AFTER_S = 0.2
_FIRST_FLUSH_S = 0.02  # the first word carries the host's time, so it must not wait in a packet
_SILENCE_S = 3.0
PACE_S = 0.02
"""Bytes gather in the transport meanwhile: fewer, larger chunks."""
_CHUNK_BYTES = 1 << 19  # decoded at a time: some 0.2 ms


class S15Tdc1(TimeTagger):
    """One TDC1 on a serial port."""

    channel_count = 4
    resolution_ps = 2000
    static_limits: ClassVar[Mapping[str, Limits]] = {
        "level": Limits(-LARGEST_LEVEL_V, LARGEST_LEVEL_V)
    }

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = _Tdc1Wire(make_transport(address), name, "TDC1", trace)
        self._level = "NIM"
        self._clock = 0

    async def connect(self) -> None:
        await self._wire.open()
        self.identity = s15_identity(await self._wire.query("*IDN?"), "TDC1")
        verify_model(self.name, self.identity, "TDC1")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        return {}

    async def configure(self, *, level: str = "NIM", reference_clock: str = "auto") -> None:
        command = _level_command(level)
        if reference_clock not in _CLOCKS:
            raise ValueError(f"reference_clock {reference_clock!r}: want {', '.join(_CLOCKS)}")
        if reference_clock == "external" and not await self._wire.query_number("ECLOCK?"):
            raise DeviceRefused(f"{self.name}: no external clock arrives: check its cable")
        self._level, self._clock = command, _CLOCKS[reference_clock]
        await self._wire.command(self._level)
        await self._wire.set_number("REFCLK", self._clock, tolerance=0, digits=0)

    async def start_run(self, duration_s: float) -> Run:
        if not duration_s > 0:
            raise ValueError(f"duration_s = {duration_s} is not positive")
        run = _Tdc1Run(self._wire, round(duration_s * 1e12))
        await run.begin(f"*RST;{self._level};REFCLK {self._clock};TIME 0;TIMESTAMP;COUNTS?\r\n")
        return run

    async def counts(self, gate_s: float) -> tuple[int, ...]:
        gate_ms = round(1000 * gate_s)
        Limits(1, 65535).check("gate in ms", gate_ms)
        await self._wire.command(f"SINGLES;TIME {gate_ms}")
        # The firmware prints its unsigned gate time as if it were signed.
        if int(await self._wire.query_number("TIME?")) % 65536 != gate_ms:
            raise DeviceRefused(f"{self.name}: the device did not take a gate of {gate_ms} ms")
        answer = await self._wire.query("COUNTS?", timeout_s=gate_s + GATE_MARGIN_S)
        counts = answer.split()
        if len(counts) != self.channel_count or not all(count.isdecimal() for count in counts):
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: 'COUNTS?': {answer!r} is not four counts")
        return tuple(int(count) for count in counts)


class _Tdc1Wire(S15Wire):
    async def _quieten(self) -> None:
        # A run or a gate of an earlier session may still be going on.
        await self.send(self.transport, b"ABORT\r\n")
        await self.transport.drain(quiet_s=0.05, limit_s=2.0)


class _Tdc1Run(SteppedRun):
    def __init__(self, wire: S15Wire, duration_ps: int) -> None:
        super().__init__()
        self._wire = wire
        self._duration_ps = duration_ps
        self._decoder = Tdc1Decoder()
        self._memory = TagMemory(_CHUNK_BYTES + 3)
        self._undecoded = memoryview(b"")
        self._held = AsyncExitStack()
        self._last_word_s = time.monotonic()

    async def begin(self, commands: str) -> None:
        """Takes hold of the wire until the end of the run."""
        async with AsyncExitStack() as stack:
            transport = await stack.enter_async_context(self._wire.transaction("stream"))
            await self._wire.send(transport, commands.encode())
            self._held = stack.pop_all()
        self._last_word_s = time.monotonic()

    async def stop(self) -> None:
        if self.verdict is None:
            with contextlib.suppress(DeviceError):
                await self._wire.transport.write(b"ABORT\r\n", timeout_s=0.5)
        await super().stop()

    async def _step(self) -> Tags:
        transport = self._wire.transport
        if self._undecoded:
            await asyncio.sleep(0)
        else:
            if self.end_ps >= self._duration_ps:
                return await self._finish(transport)
            if self._decoder.words:
                await asyncio.sleep(PACE_S)
            self._undecoded = memoryview(await self._read(transport))
        sound_until_ps = self.end_ps
        tags = self._decode(self._undecoded[:_CHUNK_BYTES])
        self._undecoded = self._undecoded[_CHUNK_BYTES:]
        if self._decoder.implausible:
            self.end_ps = sound_until_ps  # no time after a slip can be believed
            raise DeviceProtocolError(
                f"the stream lost its word boundary {self.end_ps / 1e12:.3f} s after its start"
            )
        return tags

    async def _read(self, transport: Transport) -> bytes:
        flush_after_s = _FLUSH_AFTER_S if self._decoder.words else _FIRST_FLUSH_S
        while True:
            try:
                data = await transport.read_some(timeout_s=flush_after_s)
            except DeviceTimeout:
                if time.monotonic() - self._last_word_s > _SILENCE_S:
                    raise DeviceLost(
                        f"no word for {_SILENCE_S:g} s, though the box sends one every 140 ms"
                    ) from None
                await self._wire.send(transport, b"INPKT\r\n")
                continue
            self._last_word_s = time.monotonic()
            if not self.utc_ns:
                self.utc_ns = time.time_ns()
            return data

    def _decode(self, data: bytes | memoryview) -> Tags:
        usual = len(data) <= _CHUNK_BYTES
        out = self._memory.take().arrays(_CHUNK_BYTES + 3) if usual else None
        times, channels = self._decoder.feed(data, out)
        self.end_ps = max(self.end_ps, self._decoder.end_ps)
        return Tags(times, channels)

    async def _finish(self, transport: Transport) -> Tags:
        await self._wire.send(transport, b"ABORT\r\n")
        tail = await transport.drain(quiet_s=0.05, limit_s=2.0)
        await self._wire.send(transport, b"STATUS?\r\n")
        answer = await transport.read_until(_STATUS, timeout_s=2.0)
        status = int(answer[-_STATUS_BYTES:][:4], 16)
        tags = self._decode(tail + answer[:-_STATUS_BYTES])
        if self._decoder.implausible or self._decoder.partial_bytes:
            raise DeviceProtocolError("the stream does not end on a whole word: bytes were lost")
        if status & FIFO_OVERFLOW:
            verdict = Verdict(Quality.OVERFLOW, f"the device dropped tags (status {status:#06x})")
        else:
            verdict = Verdict(Quality.CLEAN)
        await self._end(verdict, orderly=True)
        return tags

    def _told(self, fault: DeviceError) -> DeviceError:
        return fault.about(self._wire.device, "stream")

    async def _end(self, verdict: Verdict, *, orderly: bool) -> None:
        self.verdict = verdict
        await self._held.aclose()
        if not orderly:
            self._wire.doubt()


def _level_command(level: str) -> str:
    if level.upper() in ("NIM", "TTL"):
        return level.upper()
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", level) and abs(float(level)) <= LARGEST_LEVEL_V:
        return f"{'NEG' if float(level) < 0 else 'POS'} {float(level):.3f}"
    raise ValueError(f"level {level!r}: want NIM, TTL or volts from -3.3 to 3.3")

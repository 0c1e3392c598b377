"""PicoQuant MultiHarp 150/160, HydraHarp 400 and TimeHarp 260: time taggers behind a library.

There is no public wire protocol: the vendor's shared library is loaded from where the address says.
All calls of a device are made by one thread of its own, one at a time.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal, TypeVar

import numpy as np

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
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import Trace, TraceEntry
from qkd_drivers.identity import verify_model
from qkd_drivers.picoquant import (
    HYDRAHARP,
    MOST_DEVICES,
    MULTIHARP,
    TIMEHARP,
    CallFailed,
    Family,
    Library,
)
from qkd_drivers.transports import split_options
from qkd_native.decode import T2Decoder

T = TypeVar("T")

PATIENCE_S = 30.0
"""How long the library may take for one call; initialising is the longest."""
_OPEN_FAILED, _OPEN_ELSEWHERE = -1, -2
_LEVELS_MV = {"NIM": -400, "TTL": 1000}
_CLOCKS = {"auto": 0, "internal": 0, "external": 1}
_PACE_S = 0.02
_LONGEST_MS = 360_000_000


class _Picoquant(TimeTagger):
    """What the three families have in common."""

    family: ClassVar[Family]
    channel_count = 64
    resolution_ps = 1

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "serial", "zero_cross_mv", "records")
        scheme, _, self._path = plain.partition(":")
        if scheme != "library" or not self._path or "?" in self._path:
            raise ValueError(f"device address {address!r}: want library:/path/to/the/library.so")
        self._record_type = self.family.record_type
        if (records := options.get("records", "v2")) != "v2":
            if records != "v1" or self.family is not HYDRAHARP:
                raise ValueError(f"device address {address!r}: records is v1, of a HydraHarp")
            self._record_type = 0x00010204
        try:
            self._zero_cross_mv = int(options.get("zero_cross_mv", "10"))
        except ValueError:
            raise ValueError(f"device address {address!r}: zero_cross_mv is a number") from None
        self.name = name
        self.identity = Identity("")
        self._wanted_serial = options.get("serial", "")
        self._trace = trace
        self._library: Library | None = None
        self._device: int | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._level_mv = _LEVELS_MV["NIM"]
        self._clock = 0
        self._clock_held: int | None = None
        self._inputs = 0
        self._exact_ps = 1.0
        self._run: _T2Run | None = None

    async def connect(self) -> None:
        await self.close()
        self._thread = ThreadPoolExecutor(1, f"{self.name}-library")
        try:
            self._library = await self.do("connect", lambda: Library(self._path, self.family))
            device, serial_number = await self.do("connect", self._find)
            self._device = device
            await self.do("connect", lambda: self._initialize(device))
            self.identity = await self.do("connect", lambda: self._identify(device, serial_number))
            verify_model(self.name, self.identity, self.family.mark.upper())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        library, device = self._library, self._device
        self._library = self._device = None
        if self._run is not None and self._run.verdict is None:
            self._run.verdict = Verdict(Quality.LOST, f"{self.name}: closed")
        if thread is None:
            return
        if library is not None and device is not None:

            def leave() -> None:
                for name in ("StopMeas", "CloseDevice"):
                    try:
                        library.call(name, device)
                    except CallFailed:
                        continue  # it is unplugged; the handle is given up all the same

            leaving = thread.submit(leave)
            await asyncio.wait({asyncio.wrap_future(leaving)}, timeout=2.0)
        # A call that hangs for ever cannot be ended; its thread is left to it.
        thread.shutdown(wait=False, cancel_futures=True)

    async def readings(self) -> dict[str, Reading]:
        def ask(library: Library, device: int) -> list[int]:
            sync = library.number("GetSyncRate", device)
            inputs = range(self._inputs)
            return [sync] + [library.number("GetCountRate", device, each) for each in inputs]

        rates = await self.ask("rates", ask)
        now = time.time()
        names = ["rate_sync_cps", *(f"rate_{each}_cps" for each in range(1, self._inputs + 1))]
        return {name: Reading(rate, "1/s", now) for name, rate in zip(names, rates, strict=True)}

    async def configure(self, *, level: str = "NIM", reference_clock: str = "auto") -> None:
        """Of the runs to come; ``auto`` is the internal clock."""
        if reference_clock not in _CLOCKS:
            raise ValueError(f"reference_clock {reference_clock!r}: want {', '.join(_CLOCKS)}")
        level_mv = _level_mv(level)
        if reference_clock == "external" and not self.family.takes_reference:
            raise DeviceRefused(f"{self.name}: a {self.family.mark} has no input for a clock")
        if level_mv > 0 and not self._has_edges():
            raise DeviceRefused(
                f"{self.name}: the discriminators of a {self.identity.model} take negative "
                f"pulses only, not {level}"
            )
        self._level_mv, self._clock = level_mv, _CLOCKS[reference_clock]

    async def start_run(self, duration_s: float) -> Run:
        if not duration_s > 0:
            raise ValueError(f"duration_s = {duration_s} is not positive")
        duration_ms = math.ceil(1000 * duration_s)
        Limits(1, _LONGEST_MS).check("duration in ms", duration_ms)
        if self._run is not None and self._run.verdict is None:
            raise DeviceBusy(f"{self.name}: a run goes on")

        def start(library: Library, device: int) -> None:
            if self._clock != self._clock_held:
                self._initialize(device)
            self._set_levels(library, device)
            library.call("StartMeas", device, duration_ms)

        run = self._run = _T2Run(self, round(duration_s * 1e12))
        try:
            await self.ask(f"StartMeas {duration_ms}", start)
        except BaseException:
            await run.stop()
            raise
        run.began()
        return run

    async def counts(self, gate_s: float) -> tuple[int, ...]:
        counts = np.zeros(256, np.int64)
        async with await self.start_run(gate_s) as run:
            async for tags in run:
                counts += np.bincount(tags.channels, minlength=256)
        if run.verdict is not None and run.verdict.quality is Quality.LOST:
            raise DeviceLost(run.verdict.cause)
        return tuple(counts[1 : self._inputs + 1].tolist())

    def decoder(self) -> T2Decoder:
        """For the words of one run."""
        return T2Decoder(self._record_type, self._exact_ps)

    async def ask(self, asked: str, work: Callable[[Library, int], T], *, note: bool = True) -> T:
        """What work with the open device gives; any fault is a DeviceError about asked."""
        library, device = self._library, self._device
        if library is None or device is None:
            raise DeviceLost(f"{self.name}: {asked}: the device is not open")
        return await self.do(asked, lambda: work(library, device), note=note)

    async def do(self, asked: str, work: Callable[[], T], *, note: bool = True) -> T:
        """Runs work in the device's thread."""
        if self._thread is None:
            raise DeviceLost(f"{self.name}: {asked}: the device is not open")
        if note:
            self._note(">", asked)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            fault: DeviceError = DeviceTimeout(f"the library did not return in {PATIENCE_S:g} s")
        except DeviceError as error:
            fault = error
        self._note("!", str(fault))
        raise fault.about(self.name, asked)

    def _find(self) -> tuple[int, str]:
        """Opens the device of the wanted serial number, or else the first one."""
        assert self._library is not None
        seen: list[str] = []
        faults: list[CallFailed] = []
        for device in range(MOST_DEVICES):
            try:
                serial_number = self._library.open(device)
            except CallFailed as error:
                if error.code != _OPEN_FAILED:
                    faults.append(error)
                continue
            if self._wanted_serial in ("", serial_number):
                return device, serial_number
            self._library.close(device)
            seen.append(serial_number)
        if any(error.code == _OPEN_ELSEWHERE for error in faults):
            raise DeviceBusy(f"another program holds the device: {faults[0]}")
        if faults:
            raise DeviceRefused(str(faults[0]))
        wanted = f" with serial number {self._wanted_serial}" if self._wanted_serial else ""
        rest = f"; there are {', '.join(seen)}" if seen else ""
        raise DeviceNotFound(f"there is no {self.family.mark}{wanted}{rest}: is it plugged in?")

    def _initialize(self, device: int) -> None:
        assert self._library is not None
        self._clock_held = None
        self._library.initialize(device, self._clock)
        self._library.call("SetSyncDiv", device, 1)
        self._clock_held = self._clock

    def _identify(self, device: int, serial_number: str) -> Identity:
        assert self._library is not None
        model, version = self._library.hardware(device)
        self._exact_ps = self._library.resolution_ps(device)
        self._inputs = self._library.number("GetNumOfInputChannels", device)
        if not (self._exact_ps > 0 and 0 < self._inputs <= self.channel_count):
            raise DeviceProtocolError(
                f"a step of {self._exact_ps} ps and {self._inputs} inputs cannot be"
            )
        self.resolution_ps = max(1, round(self._exact_ps))
        return Identity(model, serial_number, version)

    def _has_edges(self) -> bool:
        """Whether inputs trigger on an edge of either sign; the others have discriminators."""
        if self.family is TIMEHARP:
            return "N" in self.identity.model.upper().rpartition("260")[2]
        return self.family is MULTIHARP

    def _set_levels(self, library: Library, device: int) -> None:
        level_mv = self._level_mv
        if self._has_edges():
            kind, how = "EdgeTrg", int(level_mv > 0)
        else:
            # A HydraHarp takes magnitudes, a TimeHarp signs.
            kind, sign = "CFD", 1 if self.family is HYDRAHARP else -1
            level_mv, how = sign * abs(level_mv), sign * self._zero_cross_mv
        library.call(f"SetSync{kind}", device, level_mv, how)
        for each in range(self._inputs):
            library.call(f"SetInput{kind}", device, each, level_mv, how)

    def _note(self, direction: Literal[">", "!"], text: str) -> None:
        if self._trace is not None:
            self._trace(TraceEntry(time.monotonic(), self.name, direction, text.encode()))


class PicoquantMultiharp(_Picoquant):
    """A MultiHarp 150 or 160."""

    family = MULTIHARP


class PicoquantHydraharp(_Picoquant):
    """A HydraHarp 400."""

    family = HYDRAHARP


class PicoquantTimeharp(_Picoquant):
    """A TimeHarp 260 PICO or NANO."""

    family = TIMEHARP


class _T2Run(SteppedRun):
    def __init__(self, owner: _Picoquant, duration_ps: int) -> None:
        super().__init__()
        self._owner = owner
        self._duration_ps = duration_ps
        self._decoder = owner.decoder()
        self._flags = 0

    def began(self) -> None:
        """Called when the measurement has been started: this is time 0."""
        self.utc_ns = time.time_ns()

    async def _step(self) -> Tags:
        def read(library: Library, device: int) -> tuple[Tags, int, bool]:
            flags = library.number("GetFlags", device)
            words = library.read(device)
            ended = not words and bool(library.number("CTCStatus", device))
            return Tags(*self._decoder.feed(words)), flags, ended

        tags, flags, ended = await self._owner.ask("stream", read, note=False)
        self._flags |= flags
        self.end_ps = max(self.end_ps, self._decoder.reported_ps)
        if len(tags.times_ps):
            self.end_ps = max(self.end_ps, int(np.max(tags.times_ps)))
        family = self._owner.family
        for flag, cause in family.faults.items():
            if self._flags & flag:
                cause = f"{self._owner.name}: {cause}"
                await self._end(Verdict(Quality.LOST, cause), orderly=True)
                return tags
        if self._flags & family.drops:
            cause = f"the device dropped tags (flags {self._flags:#06x})"
            await self._end(Verdict(Quality.OVERFLOW, cause), orderly=True)
        elif ended:
            self.end_ps = max(self.end_ps, self._duration_ps)
            await self._end(Verdict(Quality.CLEAN), orderly=True)
        elif not len(tags.times_ps):
            await asyncio.sleep(_PACE_S)
        return tags

    async def _end(self, verdict: Verdict, *, orderly: bool) -> None:
        self.verdict = verdict
        try:
            await self._owner.ask(
                "StopMeas", lambda library, device: library.call("StopMeas", device)
            )
        except DeviceError as error:
            if verdict.quality is Quality.CLEAN:
                self.verdict = Verdict(Quality.LOST, str(error))


def _level_mv(level: str) -> int:
    if level.upper() in _LEVELS_MV:
        return _LEVELS_MV[level.upper()]
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", level) and abs(float(level)) <= 1.2:
        return round(1000 * float(level))
    raise ValueError(f"level {level!r}: want NIM, TTL or volts from -1.2 to 1.2")

"""A time tagger that plays recordings: a file, a folder of files, or a pattern such as ``*.ptu``.

Runs follow each other without a hole: the tape stands still between them. A run never spans two
files, since each has its own time. Whoever takes tags more slowly than the tape runs slows it down.
"""

import asyncio
import math
import time
from pathlib import Path
from typing import Literal, cast

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
from qkd_drivers.errors import DeviceBusy, DeviceLost, DeviceNotFound, DeviceRefused
from qkd_drivers.framing import Trace, TraceEntry
from qkd_drivers.recordings import (
    FORMATS,
    Format,
    RecordedFile,
    RecordingReader,
    open_recording,
)
from qkd_drivers.tape import PIECE_RECORDS, RESTART_PS, Tape
from qkd_drivers.transports import split_options

_STEPS_PS = {"legacy": 125} | dict.fromkeys(("a0", "a0x", "a1", "a1x", "a2", "a2x"), 4)
_PACE_S = 0.02
_MOST_RESTARTS = 0.01
_NO_TAGS = Tags(np.empty(0, np.int64), np.empty(0, np.uint8))


class Replay(TimeTagger):
    """Files of one format as a live device."""

    channel_count = 64
    resolution_ps = 1

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._trace = trace
        self._read_address(address)
        self._tape: Tape | None = None
        self._files: list[RecordedFile] = []
        self._file_index = 0
        self._played_ps = 0
        self._run: _ReplayRun | None = None

    def _read_address(self, address: str) -> None:
        plain, options = split_options(
            address, "format", "speed", "end", "channel", "resolution_ps"
        )
        scheme, _, path = plain.partition(":")
        chosen = options.get("format")
        speed = options.get("speed", "1")
        end = options.get("end", "stop")
        self._path = Path(path)
        self._format = cast("Format | None", chosen)
        self._loop = end == "loop"
        try:
            self._speed = math.inf if speed == "max" else float(speed)
            self._channel = int(options.get("channel", "1"))
            self._step_ps = int(options.get("resolution_ps", "0"))
            Limits(1, self.channel_count).check("channel", self._channel)
            Limits(0, 10**9).check("resolution_ps", self._step_ps)
        except ValueError as error:
            raise ValueError(f"device address {address!r}: {error}") from None
        if scheme != "file" or not path or "?" in plain:
            raise ValueError(f"device address {address!r}: want file:/path/to/recordings")
        if chosen not in (None, *FORMATS):
            raise ValueError(f"device address {address!r}: format is one of {', '.join(FORMATS)}")
        if not self._speed > 0 or end not in ("stop", "loop"):
            raise ValueError(
                f"device address {address!r}: speed is a number above 0 or max, end is stop or loop"
            )
        # Without a word from the operator, the file's own step is known from `connect` on.
        self.resolution_ps = self._step_ps or _STEPS_PS.get(chosen or "", 1)

    async def connect(self) -> None:
        """Opens every file; DeviceRefused for one that is unknown, damaged or cut short.

        After a loss, the file that was playing begins again; after the end there is nothing.
        """
        await self.close()
        self._files = await asyncio.to_thread(self._survey)
        first = self._files[0]
        maker = first.instrument or f"{first.format} recording"
        self.identity = Identity(maker, first.serial_number)
        coarsest_ps = max(file.resolution_ps for file in self._files)
        self.resolution_ps = self._step_ps or max(1, round(coarsest_ps))
        if self._file_index >= len(self._files):
            raise self._nothing_left()
        self._tape = Tape(self._files, first=self._file_index, loop=self._loop)

    async def close(self) -> None:
        tape, self._tape = self._tape, None
        if tape is not None:
            self._file_index = len(self._files) if tape.ended else tape.index
            await tape.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        index = self._tape.index if self._tape else self._file_index
        count = len(self._files)
        return {
            "played_s": Reading(self._played_ps / 1e12, "s", now),
            "file_number": Reading(min(index + 1, count), f"of {count}", now),
        }

    async def configure(self, *, level: str = "NIM", reference_clock: str = "auto") -> None:
        """DeviceRefused for anything but the defaults: what was recorded cannot be changed."""
        if (level, reference_clock) != ("NIM", "auto"):
            raise DeviceRefused(
                f"{self.name}: a recording has the levels and the clock that it was made with: "
                "leave level and reference_clock out"
            )

    async def start_run(self, duration_s: float) -> Run:
        if not duration_s > 0:
            raise ValueError(f"duration_s = {duration_s} is not positive")
        if self._tape is None:
            raise DeviceLost(f"{self.name}: the recording is not open")
        if self._run is not None and self._run.verdict is None:
            raise DeviceBusy(f"{self.name}: a run goes on")
        if self._tape.ended:
            raise self._nothing_left()
        self._note(">", f"play {duration_s:g} s of {self._path}")
        self._run = _ReplayRun(self, self._tape, round(duration_s * 1e12), self._speed)
        return self._run

    async def counts(self, gate_s: float) -> tuple[int, ...]:
        """Of the next gate_s of the tape, which are played by this."""
        counts = np.zeros(256, np.int64)
        async with await self.start_run(gate_s) as run:
            async for tags in run:
                counts += np.bincount(tags.channels, minlength=256)
        if run.verdict is not None and run.verdict.quality is Quality.LOST:
            raise DeviceLost(run.verdict.cause)
        return tuple(counts[1 : self.channel_count + 1].tolist())

    def ended(self, played_ps: int, verdict: Verdict) -> None:
        """Called by the run at its end."""
        self._played_ps += played_ps
        self._note("<", f"{verdict.quality} {verdict.cause}".strip())

    def _nothing_left(self) -> DeviceLost:
        return DeviceLost(
            f"{self.name}: the recording has been played to its end; end=loop repeats it"
        )

    def _note(self, direction: Literal[">", "<"], text: str) -> None:
        if self._trace is not None:
            self._trace(TraceEntry(time.monotonic(), self.name, direction, text.encode()))

    def _survey(self) -> list[RecordedFile]:
        """Every file, looked at; their order is that of their names."""
        try:
            paths = _files_at(self._path)
        except OSError as error:
            raise DeviceNotFound(f"{self.name}: {self._path}: {error.strerror}") from error
        if not paths:
            raise DeviceNotFound(f"{self.name}: there is no file {self._path}")
        return [self._look_at(path) for path in paths]

    def _look_at(self, path: Path) -> RecordedFile:
        try:
            file = open_recording(path, self._format, channel=self._channel)
            with RecordingReader(file) as reader:
                recording = reader.read(PIECE_RECORDS)
        except FileNotFoundError as error:
            raise DeviceNotFound(f"{self.name}: there is no file {path}") from error
        except OSError as error:
            raise DeviceRefused(f"{self.name}: {path}: {error.strerror}") from error
        except ValueError as error:
            raise DeviceRefused(f"{self.name}: {path}: {error}") from error
        if not file.records:
            raise DeviceRefused(f"{self.name}: {path}: it holds no tags")
        if file.cut_short:
            raise DeviceRefused(f"{self.name}: {path}: the file is cut short: {file.cut_short}")
        restarts = np.count_nonzero(np.diff(recording.times_ps) < -RESTART_PS)
        if restarts > 1 + _MOST_RESTARTS * recording.words or np.any(recording.times_ps < 0):
            raise DeviceRefused(
                f"{self.name}: {path}: as {file.format} its times make no sense: "
                "is that its format?"
            )
        return file


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.is_file() and each.name[0] != ".")
    if "*" in path.name:
        return sorted(each for each in path.parent.glob(path.name) if each.is_file())
    return [path]


class _ReplayRun(SteppedRun):
    def __init__(self, owner: Replay, tape: Tape, duration_ps: int, speed: float) -> None:
        super().__init__()
        self._owner = owner
        self._tape = tape
        self._duration_ps = duration_ps
        self._speed = speed
        self._zero_ps = 0
        self._begin_s = 0.0

    async def _step(self) -> Tags:
        try:
            item = await self._tape.take()
        except (OSError, ValueError) as error:
            raise DeviceLost(f"{self._owner.name}: stream: {error}") from error
        if isinstance(item, Verdict):
            await self._end(item, orderly=True)
            return _NO_TAGS
        if not self.utc_ns:
            self._begin(item)
        passed_ps = (time.monotonic() - self._begin_s) * 1e12 * self._speed
        due_ps = self._duration_ps if passed_ps >= self._duration_ps else int(passed_ps)
        times_ps = item.times_ps - self._zero_ps
        late = times_ps > due_ps if due_ps < self._duration_ps else times_ps >= due_ps
        count = int(np.argmax(late)) if np.any(late) else len(late)
        if count < len(late):
            self._tape.put_back(Tags(item.times_ps[count:], item.channels[count:]))
            self.end_ps = max(self.end_ps, due_ps)
            if due_ps == self._duration_ps:
                await self._end(Verdict(Quality.CLEAN), orderly=True)
            elif not count:
                await asyncio.sleep(_PACE_S)
        tags = Tags(times_ps[:count], item.channels[:count])
        if count:
            self.end_ps = max(self.end_ps, int(np.max(tags.times_ps)))
        return tags

    def _begin(self, tags: Tags) -> None:
        """Time 0 is the earliest tag of the first piece, so that none has a time below it."""
        self._zero_ps = int(np.min(tags.times_ps))
        self._begin_s = time.monotonic()
        self.utc_ns = time.time_ns()

    async def _end(self, verdict: Verdict, *, orderly: bool) -> None:
        self.verdict = verdict
        self._owner.ended(self.end_ps, verdict)

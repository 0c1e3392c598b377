"""Recordings one after another, as stretches of tags and of what ends each stretch.

Only a piece of a file is in memory at a time, and the next one is read when it is asked for.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import numpy as np

from qkd_drivers.contract import Quality, Tags, Verdict
from qkd_drivers.recordings import RecordedFile, RecordingReader

PIECE_RECORDS = 1 << 16
RESTART_PS = 10_000_000_000
"""A longer step back (10 ms) is a clock that began anew; inputs out of order step back by µs."""

Item = Tags | Verdict
"""Tags in the time of their file, or the verdict on the stretch that ends here."""


class Tape:
    """Files in their order; one user at a time. A cancelled ``take`` loses nothing."""

    def __init__(self, files: Sequence[RecordedFile], *, first: int = 0, loop: bool) -> None:
        self._files = files
        self._loop = loop
        self._index = first
        self._reader: RecordingReader | None = None
        self._last_ps: int | None = None
        self._items: deque[Item] = deque()
        self._reading: asyncio.Future[list[Item]] | None = None

    @property
    def index(self) -> int:
        """Of the file that is being read, or comes next; their number at the end."""
        return self._index

    @property
    def ended(self) -> bool:
        """Whether nothing is left to take."""
        return not self._items and self._reading is None and self._index == len(self._files)

    async def take(self) -> Item:
        """What comes next; ValueError or OSError if the file turns out to be unreadable."""
        while not self._items:
            if self._reading is None:
                self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
            await asyncio.wait({self._reading})
            reading, self._reading = self._reading, None
            self._items.extend(reading.result())
        return self._items.popleft()

    def put_back(self, item: Item) -> None:
        """Makes an item the next one to be taken."""
        self._items.appendleft(item)

    async def close(self) -> None:
        """Waits for a piece that is being read, and closes the file."""
        if self._reading is not None:
            await asyncio.wait({self._reading})
            self._reading.exception()
            self._reading = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self) -> list[Item]:
        file = self._files[self._index]
        if self._reader is None:
            self._reader = RecordingReader(file)
            self._last_ps = None
        recording = self._reader.read(PIECE_RECORDS)
        if recording.words:
            return self._stretches(Tags(recording.times_ps, recording.channels))
        self._reader.close()
        self._reader = None
        self._index += 1
        if self._loop:
            self._index %= len(self._files)
        if file.fault:
            return [Verdict(Quality.OVERFLOW, f"{file.path.name} ends because {file.fault}")]
        return [Verdict(Quality.CLEAN, f"end of {file.path.name}")]

    def _stretches(self, tags: Tags) -> list[Item]:
        """The tags, cut where time begins anew: tags were lost there."""
        if not len(tags.times_ps):
            return []
        before = tags.times_ps[0] if self._last_ps is None else self._last_ps
        steps = np.diff(tags.times_ps, prepend=before)
        self._last_ps = int(tags.times_ps[-1])
        name = self._files[self._index].path.name
        items: list[Item] = []
        begin = 0
        for cut in np.flatnonzero(steps < -RESTART_PS).tolist():
            if cut > begin:
                items.append(Tags(tags.times_ps[begin:cut], tags.channels[begin:cut]))
            cause = f"the times of {name} step back by {-steps[cut] / 1e12:g} s: it began anew"
            items.append(Verdict(Quality.OVERFLOW, cause))
            begin = cut
        items.append(Tags(tags.times_ps[begin:], tags.channels[begin:]))
        return items

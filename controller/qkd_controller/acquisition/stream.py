"""The events of one stream epoch: sorted, indexed from its start, cut off at the old end."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_native.ticks import copy

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_LEAST_CAPACITY = 4096


Writer = Callable[[Times, Codes], tuple[int, int | None]]
"""Writes events, in order, to the beginning of two arrays. Returns how many, and the time before
which none is still to come (None: that of the last). A stream without codes has no room for them.
"""


class Events(NamedTuple):
    """Consecutive events; first_index counts from the start of their epoch."""

    first_index: int
    times: Times
    codes: Codes


class EventStream:
    """Events of one epoch, in time order; a run that is going on or has ended with a verdict.

    utc_ns is the host's time at first_ps. Events keep their index when older ones are dropped;
    before complete_from_ps some may be missing. Views are good until the next are added. Codes are
    raw key: those of dropped events are wiped, also in views handed out. The other end's events
    have none.
    """

    def __init__(
        self,
        epoch: int,
        utc_ns: int,
        first_ps: int,
        complete_from_ps: int | None = None,
        *,
        coded: bool = True,
    ) -> None:
        self.epoch = epoch
        self.utc_ns = utc_ns
        self.first_ps = first_ps
        self.complete_from_ps = first_ps if complete_from_ps is None else complete_from_ps
        self.complete_until_ps = self.complete_from_ps
        self.end_ps: int | None = None
        self.clean = False
        self.cause = ""
        self.first_index = 0
        self._coded = coded
        self._times, self._codes = self._room(_LEAST_CAPACITY)
        self._begin = 0
        self._end = 0

    @property
    def next_index(self) -> int:
        """Index of the event that comes next."""
        return self.first_index + self._end - self._begin

    @property
    def bytes_held(self) -> int:
        """Memory that the events take."""
        return (8 + self._coded) * (self._end - self._begin)

    @property
    def ended(self) -> bool:
        """Whether nothing will be added any more."""
        return self.end_ps is not None

    def add(self, times: Times, codes: Codes, complete_until_ps: int | None = None) -> None:
        """Appends events; after them, none before complete_until_ps (or the last) will follow.

        Raises ValueError for events out of order, after the end, or arrays that do not fit.
        """
        self.fill(len(times), copier(times, codes, complete_until_ps))

    def fill(self, most: int, write: Writer) -> None:
        """Appends what is written into the room for most events; otherwise as add.

        What write raises leaves the stream as it was.
        """
        if self.ended:
            raise ValueError(f"epoch {self.epoch} has ended; nothing can be added")
        self._reserve(most)
        room, latest = slice(self._end, self._end + most), self.complete_until_ps
        times = self._times[room]
        count, complete_until_ps = write(times, self._codes[room])
        if count:
            if int(times[0]) < latest:
                self._codes[room] = 0
                raise ValueError(f"events of epoch {self.epoch} are out of order")
            latest = int(times[count - 1])
        self._end += count
        self.complete_until_ps = max(latest, complete_until_ps or latest)

    def end(self, end_ps: int, clean: bool, cause: str) -> None:
        """Ends the run at end_ps, which no event may exceed, with its verdict."""
        if self.ended:
            raise ValueError(f"epoch {self.epoch} has ended already")
        if self._end > self._begin and end_ps < int(self._times[self._end - 1]):
            raise ValueError(f"epoch {self.epoch} cannot end before its last event")
        self.end_ps = end_ps
        self.complete_until_ps = max(self.complete_until_ps, end_ps)
        self.clean = clean
        self.cause = cause

    def between(self, low_ps: int, high_ps: int) -> Events:
        """The events with low_ps <= time < high_ps, as views."""
        held = self._times[self._begin : self._end]
        low, high = (int(i) for i in np.searchsorted(held, (low_ps, high_ps)))
        begin, end = self._begin + low, self._begin + max(low, high)
        return Events(self.first_index + low, self._times[begin:end], self._codes[begin:end])

    def since(self, index: int) -> Events:
        """The events from this index on that are still held, as views."""
        begin = self._begin + max(0, index - self.first_index)
        begin = min(begin, self._end)
        return Events(
            self.first_index + begin - self._begin,
            self._times[begin : self._end],
            self._codes[begin : self._end],
        )

    def drop_before(self, time_ps: int) -> None:
        """Drops the events before time_ps."""
        held = self._times[self._begin : self._end]
        self.drop_below(self.first_index + int(np.searchsorted(held, time_ps)))
        self.complete_from_ps = max(self.complete_from_ps, min(time_ps, self.complete_until_ps))

    def drop_below(self, index: int) -> None:
        """Drops the events below this index."""
        count = min(max(0, index - self.first_index), self._end - self._begin)
        if count:
            last = int(self._times[self._begin + count - 1])
            self.complete_from_ps = max(self.complete_from_ps, last + 1)
            self._codes[self._begin : self._begin + count] = 0
            self._begin += count
            self.first_index += count

    def start_at(self, index: int) -> None:
        """Says that the first event to be added has this index; only for an empty stream."""
        if self._end != self._begin:
            raise ValueError(f"epoch {self.epoch} holds events already")
        self.first_index = index

    def _reserve(self, count: int) -> None:
        if self._end + count <= len(self._times):
            return
        begin, end, held = self._begin, self._end, self._end - self._begin
        times, codes = self._times, self._codes
        # Touching new memory costs more than moving what is held: it is taken only where more than
        # half of the old would be in use. What moves within the old moves beyond itself, therefore.
        if 2 * (held + count) > len(times):
            capacity = 2 * max(_LEAST_CAPACITY, 2 * (held + count))
            times, codes = self._room(capacity)
        times[:held] = self._times[begin:end]
        codes[:held] = self._codes[begin:end]
        # Those before begin are wiped already; elsewhere the old codes stand twice now.
        self._codes[begin:end] = 0
        self._times, self._codes = times, codes
        self._begin, self._end = 0, held

    def _room(self, capacity: int) -> tuple[Times, Codes]:
        return np.empty(capacity, np.int64), np.empty(capacity * self._coded, np.uint8)


def copier(times: Times, codes: Codes, complete_until_ps: int | None) -> Writer:
    """Writes these; raises ValueError for times that fall, or arrays that do not fit."""
    if times.dtype != np.int64 or codes.dtype != np.uint8 or times.shape != codes.shape:
        raise ValueError("times are int64, codes uint8, and as many")

    def write(room_times: Times, room_codes: Codes) -> tuple[int, int | None]:
        copy(times, room_times)
        room_codes[:] = codes
        return len(times), complete_until_ps

    return write

"""The announcing end's runs, as the reference end hears of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.end import refuse
from qkd_controller.acquisition.stream import EventStream
from qkd_controller.link.acquisition_messages import (
    EVENTS_A_MESSAGE,
    EpochBegun,
    RunEnded,
    TimesAnnounced,
    TimesReleased,
)
from qkd_native.ticks import TickCoder

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_TIME_LIMIT_PS = 1 << 60


class AnnouncedRuns:
    """Their events by epoch, oldest first, without codes; and what of them is used and released.

    Whatever takes a message raises ProtocolError for one that must not be.
    """

    def __init__(self, resolution_ps: int) -> None:
        self._coder = TickCoder(resolution_ps)
        self._runs: dict[int, EventStream] = {}
        self._newest = -1
        self._used: dict[int, int] = {}
        self._released: dict[int, int] = {}

    def __iter__(self) -> Iterator[EventStream]:
        return iter(list(self._runs.values()))

    @property
    def bytes_held(self) -> int:
        """Memory that their events take."""
        return sum(run.bytes_held for run in self._runs.values())

    def clear(self) -> None:
        """Forgets all runs; their epochs may begin anew."""
        self._runs.clear()
        self._newest = -1
        self._used.clear()
        self._released.clear()

    def begin(self, message: EpochBegun) -> None:
        """A run begins; epochs rise."""
        if message.epoch <= self._newest:
            raise refuse(f"epoch {message.epoch} begins after {self._newest}")
        _check_times(message.first_ps, message.complete_from_ps)
        self._newest = message.epoch
        self._runs[message.epoch] = EventStream(
            message.epoch,
            message.utc_ns,
            message.first_ps,
            message.complete_from_ps,
            coded=False,
        )

    def end(self, message: RunEnded) -> None:
        """A run has ended; one that is forgotten already may."""
        _check_times(message.end_ps)
        run = self._runs.get(message.epoch)
        if run is not None:
            try:
                run.end(message.end_ps, message.clean, message.cause)
            except ValueError as error:
                raise refuse(str(error)) from None

    def add(self, message: TimesAnnounced) -> None:
        """The next events of a run; the tail of one that is forgotten is of no use."""
        run = self._runs.get(message.epoch)
        if run is None:
            if message.epoch > self._newest:
                raise refuse(f"times of epoch {message.epoch}, which has not begun")
            return
        if not 0 <= message.count <= EVENTS_A_MESSAGE:
            raise refuse(f"{message.count} events in one message")

        def read(times: Times, _: Codes) -> tuple[int, int]:
            self._coder.decode(message.deltas, message.first_tick, times)
            if len(times):
                _check_times(int(times[0]), int(times[-1]))
            return len(times), message.complete_until_ps

        try:
            _check_times(message.complete_until_ps)
            if run.next_index == 0:
                run.start_at(message.first_index)
            if message.first_index != run.next_index:
                raise ValueError("events are missing between two announcements")
            run.fill(message.count, read)
        except ValueError as error:
            raise refuse(str(error)) from None

    def used(self, run: EventStream) -> int:
        """The first event of the run that no slice has matched, nor one before."""
        return self._used.get(run.epoch, 0)

    def use(self, run: EventStream, index: int) -> None:
        """Says that this event is matched; later ones alone may be."""
        self._used[run.epoch] = index + 1

    def forget(self, run: EventStream) -> TimesReleased:
        """Forgets a run that is over; returns what to tell of it."""
        del self._runs[run.epoch]
        self._used.pop(run.epoch, None)
        self._released.pop(run.epoch, None)
        return TimesReleased(run.epoch, run.next_index)

    def releases(self) -> list[TimesReleased]:
        """What to tell of events dropped since the last time."""
        released = []
        for run in self._runs.values():
            if run.first_index > self._released.get(run.epoch, 0):
                self._released[run.epoch] = run.first_index
                released.append(TimesReleased(run.epoch, run.first_index))
        return released

    def drop_half(self) -> bool:
        """Drops the older half of the oldest events; False if there are none."""
        for run in self._runs.values():
            if run.bytes_held:
                held = run.since(0).times
                run.drop_before(int(held[len(held) // 2]) + 1)
                return True
        return False


def _check_times(*times_ps: int) -> None:
    if any(abs(time) > _TIME_LIMIT_PS for time in times_ps):
        raise refuse("a time of more than a week")

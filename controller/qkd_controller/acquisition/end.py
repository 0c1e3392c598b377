"""What both ends of a link do alike with their own tag stream and with matched slices."""

from abc import ABC, abstractmethod
from collections import deque

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.slices import (
    End,
    ModePlan,
    SliceCounts,
    SliceId,
    SliceQueue,
    SliceRecord,
)
from qkd_controller.acquisition.stream import EventStream, Writer, copier
from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import EpochBegun, RunEnded, TestResult
from qkd_controller.link.errors import ProtocolError
from qkd_controller.link.message import Message

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_RECORDS = 2048


class TagEnd(ABC):
    """Own runs, matched slices and test results of one end; base of both kinds of end.

    Everything is fed in and everything to be sent is returned, in order; nothing is returned while
    no session is open. Calls must not overlap.

    A lost session (reset_peer) costs the matched slices that no block has taken yet: the peer may
    never have heard of them. Own events not yet matched are kept and announced again when the next
    session begins; an event that was matched once is never matched again.
    """

    records: "deque[SliceRecord]"
    """Matched slices, newest last, for whoever reports them."""
    test_results: "deque[TestResult]"
    """Results of test slices, newest last."""
    counts: SliceCounts

    _own: End
    _peer: End

    def __init__(self, timing: Timing, bytes_limit: int) -> None:
        self._timing = timing
        self._slice_ps = timing.slice_ms * 1_000_000_000
        self.bytes_limit = bytes_limit
        self._open = False
        self._streams: dict[int, EventStream] = {}
        self._newest_epoch = -1
        self.records = deque(maxlen=_RECORDS)
        self.test_results = deque(maxlen=_RECORDS)
        self.counts = SliceCounts()
        self._queue = SliceQueue(self.counts)
        self._plan = ModePlan(timing.test_slice_every)

    @property
    def settled_pairs(self) -> int:
        """Matched pairs that are ready for a block."""
        return self._queue.settled_pairs

    def settled_ids(self) -> list[SliceId]:
        """The slices behind settled_pairs, in order: the same at both ends."""
        return self._queue.settled()

    def bytes_held(self) -> int:
        """Memory that events and slices take, which the byte limit bounds."""
        return self._queue.bytes_held + sum(s.bytes_held for s in self._streams.values())

    def begin_epoch(self, epoch: int, utc_ns: int, first_ps: int = 0) -> list[Message]:
        """A run begins: at its stream time first_ps the host's clock reads utc_ns.

        Raises ValueError unless epoch is above all before it and the last run has ended.
        """
        if epoch <= self._newest_epoch:
            raise ValueError(f"epoch {epoch} does not follow epoch {self._newest_epoch}")
        running = self._streams.get(self._newest_epoch)
        if running is not None and not running.ended:
            raise ValueError(f"epoch {running.epoch} is still running; end it first")
        self._newest_epoch = epoch
        stream = self._streams[epoch] = EventStream(epoch, utc_ns, first_ps)
        return self._say(self._begun(stream))

    def end_epoch(self, epoch: int, end_ps: int, clean: bool, cause: str = "") -> list[Message]:
        """The run is over at end_ps, with its verdict; unless clean, nothing of it becomes key.

        A channel delay may have moved the last events beyond end_ps; the run then ends with them.
        Raises ValueError for an epoch that is not running.
        """
        stream = self._run(epoch)
        end_ps = max(end_ps, stream.complete_until_ps)
        stream.end(end_ps, clean, cause)
        self._queue.verdict(self._own, epoch, clean)
        if not clean:
            stream.drop_below(stream.next_index)
        return self._say(self._ended(stream))

    def add(
        self, epoch: int, times: Times, codes: Codes, complete_until_ps: int | None = None
    ) -> list[Message]:
        """Takes the next events of the run; none before complete_until_ps is still to come.

        Raises ValueError for an epoch that is not running or events out of order.
        """
        stream = self._run(epoch)
        if stream.next_index == 0 and len(times) and int(times[0]) < stream.first_ps:
            # A channel delay has moved them before the stream's own beginning.
            begun = int(np.searchsorted(times, stream.first_ps))
            times, codes = times[begun:], codes[begun:]
        return self.fill(epoch, len(times), copier(times, codes, complete_until_ps))

    @abstractmethod
    def fill(self, epoch: int, most: int, write: Writer) -> list[Message]:
        """Takes the next events of the run, most or fewer, written into the memory that keeps them.

        Raises ValueError for an epoch that is not running or events out of order.
        """

    def _run(self, epoch: int) -> EventStream:
        stream = self._streams.get(epoch)
        if stream is None or stream.ended:
            raise ValueError(f"epoch {epoch} is not running")
        return stream

    def _say(self, *messages: Message) -> list[Message]:
        return list(messages) if self._open else []

    def _forget_peer(self) -> None:
        self._open = False
        self._queue.clear()

    def _announce_again(self, stream: EventStream) -> EpochBegun:
        if stream.ended:
            self._queue.verdict(self._own, stream.epoch, stream.clean)
        return self._begun(stream)

    def _begun(self, stream: EventStream) -> EpochBegun:
        first_ps, complete_ps = stream.first_ps, stream.complete_from_ps
        return EpochBegun(
            stream.epoch, stream.utc_ns, self._said_ps(first_ps), self._said_ps(complete_ps)
        )

    def _ended(self, stream: EventStream) -> RunEnded:
        assert stream.end_ps is not None
        return RunEnded(stream.epoch, self._said_ps(stream.end_ps), stream.clean, stream.cause)

    def _said_ps(self, time_ps: int) -> int:
        """A time as the peer may hear it: one finer than the announced ones may tell a detector."""
        resolution = self._timing.announce_resolution_ps
        return time_ps // resolution * resolution


def slice_ids(pairs: tuple[tuple[int, int], ...]) -> list[SliceId]:
    """Slice names as they travel, as names."""
    return [SliceId(*pair) for pair in pairs]


def refuse(what: str) -> ProtocolError:
    """The error for a peer that says about its tags what it must not say."""
    return ProtocolError(f"tag stream of the peer: {what}; the session ends and is set up anew")

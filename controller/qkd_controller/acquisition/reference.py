"""The end whose clock is the time reference: finds the peer's clock and matches slices."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.announced import AnnouncedRuns
from qkd_controller.acquisition.disclosure import TestSlices
from qkd_controller.acquisition.end import TagEnd, refuse, slice_ids
from qkd_controller.acquisition.matched import MatchedEvents
from qkd_controller.acquisition.pairing import Covered, Lost, Passed, RunPair, Search
from qkd_controller.acquisition.slice_match import SliceMatcher
from qkd_controller.acquisition.slices import SliceId, SliceRecord
from qkd_controller.acquisition.stream import EventStream, Writer
from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import (
    DropSlices,
    EpochBegun,
    Mode,
    ModeChange,
    RunEnded,
    SlicesLost,
    TestDisclosure,
    TimesAnnounced,
)
from qkd_controller.link.message import Message

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_SLICES_A_STEP = 8
_PS_A_NS = 1000


class Block(NamedTuple):
    """Whole consecutive settled slices, and own codes, one a matched pair."""

    slices: tuple[SliceId, ...]
    codes: Codes


class ReferenceEnd(TagEnd):
    """Cuts the own stream into slices and matches each with the announced times.

    step does the work; everything else only stores. Slices are decided in order: matched, or lost
    with a cause. While a clock is searched for, data wait; nothing is lost by searching.
    """

    _own = "reference"
    _peer = "announcing"

    def __init__(self, timing: Timing, bytes_limit: int = 256 << 20) -> None:
        super().__init__(timing, bytes_limit)
        self.pending = False
        """Whether the last step may have left work that needs no new data."""
        self._peers = AnnouncedRuns(timing.announce_resolution_ps)
        self._pairs: dict[tuple[int, int], RunPair] = {}
        self._rate: float | None = None
        self._next: SliceId | None = None
        self._tests = TestSlices()
        self._matcher = SliceMatcher(timing)
        self._matched = MatchedEvents()

    @property
    def locked(self) -> bool:
        """Whether the clock of the runs being matched is known and followed."""
        return any(pair.tracker is not None for pair in self._pairs.values())

    def bytes_held(self) -> int:
        """Memory that events of both ends and slices take, which the byte limit bounds."""
        return super().bytes_held() + self._peers.bytes_held + self._tests.bytes_held

    def begin_session(self) -> list[Message]:
        """A session has begun: what to tell the peer first."""
        self._open = True
        if self._next is not None:
            self._plan.forget_before(self._next)
        messages: list[Message] = [*self._plan.changes()]
        for stream in self._streams.values():
            messages.append(self._announce_again(stream))
            if stream.end_ps is not None:
                messages.append(self._ended(stream))
        return messages

    def reset_peer(self) -> None:
        """The session is lost: forgets the peer's streams and all that it may not have heard of."""
        self._forget_peer()
        self._peers.clear()
        self._pairs.clear()
        self._tests.clear()

    def fill(self, epoch: int, most: int, write: Writer) -> list[Message]:
        """Takes the next events of the run; see TagEnd."""
        self._run(epoch).fill(most, write)
        return self._shed()

    def set_mode(self, mode: Mode, guard_ps: int, host_utc_ns: int | None = None) -> ModeChange:
        """Says what slices are for from some slice on that is not recorded yet.

        It is the next_slice; guard_ps must cover the time that this message is under way, and
        without host_utc_ns also that of tags. Send the change; in a new session it is repeated.
        """
        epoch, index = self.next_slice(guard_ps, host_utc_ns)
        latest = self._plan.latest
        if latest is not None:
            epoch, index = max((epoch, index), (latest.epoch, latest.index))
        change = ModeChange(mode, epoch, index)
        self._plan.add(change)
        return change

    def next_slice(self, guard_ps: int, host_utc_ns: int | None = None) -> SliceId:
        """The first slice that begins guard_ps or more after the latest own time.

        host_utc_ns is the host's time now: photons that were detected since may not be here yet,
        so the slice begins guard_ps or more after it too. Between two runs, the next may have begun
        already: the slice lies guard_ps after its beginning.
        """
        stream = self._streams.get(self._newest_epoch)
        if stream is None or stream.ended:
            return SliceId(self._newest_epoch + 1, -(-guard_ps // self._slice_ps))
        latest_ps = stream.complete_until_ps
        if host_utc_ns is not None:
            latest_ps = max(latest_ps, stream.first_ps + (host_utc_ns - stream.utc_ns) * _PS_A_NS)
        return SliceId(stream.epoch, -(-(latest_ps + guard_ps) // self._slice_ps))

    def receive(self, message: Message) -> list[Message]:
        """Takes a message of the announcing end; raises ProtocolError for one it must not send."""
        match message:
            case TimesAnnounced():
                self._peers.add(message)
                return self._shed()
            case EpochBegun():
                self._peers.begin(message)
            case RunEnded():
                self._peers.end(message)
                self._queue.verdict("announcing", message.epoch, message.clean)
            case TestDisclosure():
                result = self._tests.judge(message)
                self.test_results.append(result)
                return self._say(result)
            case DropSlices():
                slices = slice_ids(message.slices)
                self._queue.drop(slices)
                for slice_id in slices:
                    self._tests.drop(slice_id)
            case _:
                raise refuse(f"{type(message).__name__} is not for the reference end")
        return []

    def step(self) -> list[Message]:
        """Does a piece of the waiting work: some slices, or one search for a clock.

        Up to half a second for a search, some milliseconds a slice otherwise. While pending is set
        afterwards, call it again.
        """
        self.pending = False
        if not self._open:
            return []
        messages = self._shed()
        for _ in range(_SLICES_A_STEP):
            self.pending = self._advance(messages)
            if not self.pending:
                break
        return messages + self._peers.releases()

    def take_block(self, pairs: int) -> Block | None:
        """Removes the oldest settled slices, just enough for this many pairs; None if too few."""
        slices = []
        count = 0
        for slice_id in self._queue.settled():
            slices.append(slice_id)
            count += self._queue.pairs(slice_id)
            if count >= pairs:
                return Block(tuple(slices), self._queue.take(slices))
        return None

    def _advance(self, messages: list[Message]) -> bool:
        """Decides the next slice, or searches for its clock; False where it has to wait."""
        own = self._current()
        if own is None or self._next is None:
            return False
        low = self._next.index * self._slice_ps
        high = low + self._slice_ps
        if own.end_ps is not None and high > own.end_ps:
            self._finish(own)
            return True
        if own.ended and not own.clean:
            assert own.end_ps is not None
            self._lose(messages, "the own run is unsafe", own.end_ps // self._slice_ps)
            return True
        if not own.ended and own.complete_until_ps < high + 3 * self._timing.coincidence_window_ps:
            return False
        for peer in self._peers:
            pair = self._pairs.setdefault((own.epoch, peer.epoch), RunPair(self._timing, own, peer))
            place = pair.place(low, high, self._rate)
            if isinstance(place, Passed):
                self._forget(peer, messages)
                continue
            if isinstance(place, Lost):
                self._lose(messages, place.cause)
                return True
            if isinstance(place, Search):
                fit = pair.search(low, self._rate)
                if fit is not None:
                    self._rate = fit.model.rate
                return True
            if isinstance(place, Covered):
                self._match(pair, low, high, messages)
                return True
            return False
        return False

    def _match(self, pair: RunPair, low: int, high: int, messages: list[Message]) -> None:
        assert self._next is not None and pair.tracker is not None
        slice_id, own, peer = self._next, pair.own, pair.peer
        model = pair.tracker.model
        match = self._matcher.match(own, peer, model, low, high, self._peers.used(peer))
        indices, codes, residuals = match.pairs
        loss = pair.tracker.judge(len(indices), match.accidentals)
        if loss is not None:
            codes.fill(0)
            pair.lose(low, high)
            self._lose(messages, loss.cause)
            return
        pair.tracker.update(match.middle_ps, residuals)
        self._rate = pair.tracker.model.rate
        if len(indices):
            self._peers.use(peer, int(indices[-1]))
        middle = pair.tracker.model.at(model.to_announced_ps((low + high) // 2))
        record = SliceRecord(
            slice_id,
            peer.epoch,
            self._plan.mode(slice_id),
            match.reference_events,
            match.announced_events,
            len(indices),
            match.accidentals,
            pair.tracker.residual_rms_ps,
            middle.offset_ps,
            middle.rate * 1e6,
        )
        messages.append(self._matched.message(record, indices))
        self.records.append(record)
        self.counts.matched += 1
        if record.mode == "test":
            self.counts.test += 1
            self._tests.hold(slice_id, codes, match.accidentals)
        else:
            self._queue.append(slice_id, peer.epoch, codes)
        self._proceed(slice_id.index + 1)

    def _current(self) -> EventStream | None:
        """The oldest own run with slices to decide; sets the next slice where a run is new."""
        stream = next(iter(self._streams.values()), None)
        if stream is not None and (self._next is None or self._next.epoch < stream.epoch):
            self._next = SliceId(stream.epoch, -(-stream.complete_from_ps // self._slice_ps))
        return stream

    def _finish(self, own: EventStream) -> None:
        """All whole slices of the run are decided."""
        own.drop_below(own.next_index)
        del self._streams[own.epoch]
        for key in [key for key in self._pairs if key[0] == own.epoch]:
            del self._pairs[key]

    def _proceed(self, index: int) -> None:
        """Goes on to this slice of the current run; the events before it are of no more use."""
        assert self._next is not None
        self._next = SliceId(self._next.epoch, index)
        self._plan.forget_before(self._next)
        own = self._streams[self._next.epoch]
        margin = 4 * self._timing.coincidence_window_ps
        low = index * self._slice_ps
        own.drop_before(low - margin)
        for peer in self._peers:
            pair = self._pairs.get((own.epoch, peer.epoch))
            if pair is not None:
                peer.drop_before(pair.passed_ps(low - margin))

    def _lose(self, messages: list[Message], cause: str, up_to: int | None = None) -> None:
        """Decides that the next slice, or all up to an index, are lost."""
        assert self._next is not None
        epoch, index = self._next
        count = 1 if up_to is None else max(1, up_to - index)
        self.counts.lost += count
        causes = self.counts.lost_by_cause
        causes[cause] = causes.get(cause, 0) + count
        last = messages[-1] if messages else None
        if isinstance(last, SlicesLost) and (last.epoch, last.index + last.count, last.cause) == (
            epoch,
            index,
            cause,
        ):
            messages[-1] = SlicesLost(epoch, last.index, last.count + count, cause)
        else:
            messages.append(SlicesLost(epoch, index, count, cause))
        self._proceed(index + count)

    def _forget(self, peer: EventStream, messages: list[Message]) -> None:
        for key in [key for key in self._pairs if key[1] == peer.epoch]:
            del self._pairs[key]
        messages.append(self._peers.forget(peer))

    def _shed(self) -> list[Message]:
        """Keeps within the byte limit: whole slices go, the oldest first."""
        messages: list[Message] = []
        dropped: list[tuple[int, int]] = []
        while self.bytes_held() > self.bytes_limit:
            oldest = self._queue.drop_oldest()
            if oldest is not None:
                dropped.append(oldest)
            elif not self._drop_undecided(messages):
                break
        if dropped:
            messages.append(DropSlices(tuple(dropped), "the reference end's memory is full"))
        return self._say(*messages)

    def _drop_undecided(self, messages: list[Message]) -> bool:
        """Gives up the oldest slice that is not matched yet; False if there is nothing to drop."""
        own = self._current()
        if (
            own is not None
            and self._next is not None
            and own.complete_until_ps >= (self._next.index + 1) * self._slice_ps
        ):
            self._lose(messages, "memory is full")
            return True
        return self._peers.drop_half()

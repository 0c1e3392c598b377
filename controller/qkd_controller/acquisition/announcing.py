"""The end that announces its detection times and is told which of them matched."""

from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.end import TagEnd, refuse, slice_ids
from qkd_controller.acquisition.matched import MatchedEvents, matched_record
from qkd_controller.acquisition.slices import (
    ModePlan,
    SliceId,
)
from qkd_controller.acquisition.stream import Events, EventStream, Writer
from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import (
    EVENTS_A_MESSAGE,
    DropSlices,
    EpochBegun,
    ModeChange,
    RunEnded,
    SliceMatched,
    SlicesLost,
    TestDisclosure,
    TestResult,
    TimesAnnounced,
    TimesReleased,
)
from qkd_controller.link.errors import BlockDiscarded
from qkd_controller.link.message import Message
from qkd_native.sifting import take
from qkd_native.ticks import TickCoder

Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

_DROPPED_REMEMBERED = 4096


class AnnouncingEnd(TagEnd):
    """Announces own times, holds own codes until the reference end has matched or released them.

    It discloses a slice only if the slice had been announced as a test, in a plan of its own
    keeping, and if none of its events was ever matched before: a reference end cannot have key
    disclosed. Nor can it choose among slices: what they are for is fixed before they are recorded,
    and a block is made of the oldest ones.
    """

    _own = "announcing"
    _peer = "reference"

    def __init__(self, timing: Timing, bytes_limit: int = 256 << 20) -> None:
        super().__init__(timing, bytes_limit)
        self._coder = TickCoder(timing.announce_resolution_ps)
        self._events = MatchedEvents()
        self._consumed: dict[int, int] = {}
        self._reference_epochs: dict[int, bool | None] = {}
        self._decided: SliceId | None = None
        self._disclosed: dict[SliceId, int] = {}
        self._dropped: deque[SliceId] = deque(maxlen=_DROPPED_REMEMBERED)
        self._last_match: SliceMatched | None = None

    def begin_session(self) -> list[Message]:
        """A session has begun: what to tell the peer first, of all that is still held."""
        self._open = True
        messages: list[Message] = []
        for stream in self._streams.values():
            messages.append(self._announce_again(stream))
            messages += self._announcements(stream, stream.since(0))
            if stream.end_ps is not None:
                messages.append(self._ended(stream))
        return messages

    def reset_peer(self) -> None:
        """The session is lost: forgets what only the peer could have completed."""
        self._forget_peer()
        self._plan = ModePlan(self._timing.test_slice_every)
        self._reference_epochs.clear()
        self._disclosed.clear()
        self._dropped.clear()
        self._last_match = None
        for epoch, stream in list(self._streams.items()):
            if stream.ended and not stream.clean:
                del self._streams[epoch]
                self._consumed.pop(epoch, None)

    def fill(self, epoch: int, most: int, write: Writer) -> list[Message]:
        """Takes the next events of the run and announces them; see TagEnd."""
        stream = self._run(epoch)
        new = stream.next_index
        stream.fill(most, write)
        messages = self._announcements(stream, stream.since(new)) if self._open else []
        return messages + self._shed()

    def receive(self, message: Message) -> list[Message]:
        """Takes a message of the reference end; raises ProtocolError for one it must not send."""
        match message:
            case SliceMatched():
                return self._matched(message)
            case SlicesLost():
                self._decide(message.epoch, message.index, message.count)
                self.counts.lost += message.count
                causes = self.counts.lost_by_cause
                causes[message.cause] = causes.get(message.cause, 0) + message.count
            case TimesReleased():
                self._release(message)
            case ModeChange():
                self._change_mode(message)
            case EpochBegun():
                if self._reference_epochs and message.epoch <= max(self._reference_epochs):
                    raise refuse(f"epoch {message.epoch} begins again")
                self._reference_epochs[message.epoch] = None
            case RunEnded():
                if self._reference_epochs.get(message.epoch, False) is not None:
                    raise refuse(f"epoch {message.epoch} ends without running")
                self._reference_epochs[message.epoch] = message.clean
                self._queue.verdict("reference", message.epoch, message.clean)
            case TestResult():
                pairs = self._disclosed.pop(SliceId(message.epoch, message.index), None)
                if pairs != message.pairs:
                    raise refuse(f"a result for slice {message.index}, which was not disclosed so")
                self.test_results.append(message)
            case DropSlices():
                self._queue.drop(slice_ids(message.slices))
            case _:
                raise refuse(f"{type(message).__name__} is not for the announcing end")
        return []

    def take_slices(self, slices: Iterable[tuple[int, int]]) -> Codes:
        """Own codes of a block's slices, one a matched pair, in the order of both ends.

        Raises BlockDiscarded where a slice was dropped here just now, ProtocolError unless the
        others are exactly the oldest settled ones in order.
        """
        wanted = [SliceId(*s) for s in slices]
        present = [s for s in wanted if s not in self._dropped]
        if not wanted or present != self._queue.settled()[: len(present)]:
            raise refuse("a block that is not made of the oldest settled slices in order")
        codes = self._queue.take(present)
        if len(present) < len(wanted):
            codes.fill(0)
            missing = next(s for s in wanted if s in self._dropped)
            raise BlockDiscarded(f"slice {tuple(missing)} was dropped here just now")
        return codes

    def _matched(self, message: SliceMatched) -> list[Message]:
        slice_id = SliceId(message.epoch, message.index)
        if message.epoch not in self._reference_epochs:
            raise refuse(f"slice {tuple(slice_id)} of an epoch that it never began")
        if message.mode != self._plan.mode(slice_id):
            raise refuse(f"slice {tuple(slice_id)} was not announced for {message.mode}")
        self._decide(message.epoch, message.index, 1)
        indices = self._events.indices(message, self.bytes_limit // 8)
        stream = self._streams.get(message.peer_epoch)
        if stream is None:
            if message.peer_epoch > self._newest_epoch:
                raise refuse(f"a match in epoch {message.peer_epoch}, which never was")
            return self._refuse_slice(slice_id, "its events are gone")
        if stream.ended and not stream.clean:
            self.counts.unsafe += 1
            return self._drop([slice_id], "its run was unsafe")
        if len(indices):
            if int(indices[0]) < self._consumed.get(stream.epoch, 0):
                raise refuse(f"slice {tuple(slice_id)} matches an event for the second time")
            if int(indices[-1]) >= stream.next_index:
                raise refuse(f"slice {tuple(slice_id)} matches an event that never was")
            self._consumed[stream.epoch] = int(indices[-1]) + 1
            if int(indices[0]) < stream.first_index:
                stream.drop_below(int(indices[-1]) + 1)
                return self._refuse_slice(slice_id, "its events are gone")
        held = stream.since(0)
        indices -= held.first_index
        codes = take(held.codes, indices)
        stream.drop_below(self._consumed.get(stream.epoch, 0))
        self.counts.matched += 1
        self._last_match = message
        self.records.append(matched_record(message))
        if message.mode == "test":
            self.counts.test += 1
            self._disclosed[slice_id] = len(codes)
            return self._say(TestDisclosure(*slice_id, codes.tobytes()))
        self._queue.append(slice_id, message.peer_epoch, codes)
        return self._shed()

    def _decide(self, epoch: int, index: int, count: int) -> None:
        """Notes that the reference end has decided these slices; they come in order, ever."""
        if count < 1 or (self._decided is not None and (epoch, index) <= self._decided):
            raise refuse(f"slice {(epoch, index)} is decided for the second time, or out of order")
        self._decided = SliceId(epoch, index + count - 1)
        self._plan.forget_before(self._decided)
        for old in [e for e in self._reference_epochs if e < epoch]:
            del self._reference_epochs[old]

    def _release(self, message: TimesReleased) -> None:
        stream = self._streams.get(message.epoch)
        if stream is None:
            return
        stream.drop_below(message.index)
        if stream.ended and message.index >= stream.next_index:
            del self._streams[message.epoch]
            self._consumed.pop(message.epoch, None)

    def _change_mode(self, change: ModeChange) -> None:
        if self._decided is not None and (change.epoch, change.index) <= self._decided:
            # Only the state that goes on may be repeated for the past, right after a session began.
            if self._plan.latest is not None:
                raise refuse("a change of mode for slices that are decided already")
            change = ModeChange(change.mode, *self._decided)
        elif self._recorded(SliceId(change.epoch, change.index)):
            raise refuse("a change of mode for slices that are being recorded already")
        try:
            self._plan.add(change)
        except ValueError as error:
            raise refuse(str(error)) from None

    def _recorded(self, slice_id: SliceId) -> bool:
        """Whether times at or after the slice's beginning are announced, as far as can be told."""
        last = self._last_match
        stream = self._streams.get(last.peer_epoch) if last is not None else None
        if last is None or stream is None or slice_id.epoch != last.epoch:
            return False
        newest_ps = stream.complete_until_ps + last.offset_ps
        return slice_id.index * self._slice_ps < newest_ps

    def _announcements(self, stream: EventStream, events: Events) -> list[Message]:
        """All times are rounded down, which keeps their order: what is true of them stays true."""
        messages: list[Message] = []
        for begin in range(0, max(1, len(events.times)), EVENTS_A_MESSAGE):
            part = events.times[begin : begin + EVENTS_A_MESSAGE]
            first, coding = self._coder.encode(part)
            last = begin + EVENTS_A_MESSAGE >= len(events.times)
            complete = stream.complete_until_ps if last else int(part[-1])
            messages.append(
                TimesAnnounced(
                    stream.epoch,
                    events.first_index + begin,
                    first,
                    len(part),
                    coding,
                    self._said_ps(complete),
                )
            )
        return messages

    def _shed(self) -> list[Message]:
        """Keeps within the byte limit: the oldest slices go first, then the oldest events."""
        dropped: list[SliceId] = []
        held = self.bytes_held()
        while held > self.bytes_limit:
            before = self._queue.bytes_held
            oldest = self._queue.drop_oldest()
            if oldest is not None:
                dropped.append(oldest)
                held -= before - self._queue.bytes_held
                continue
            epoch, stream = next(iter(self._streams.items()))
            before = stream.bytes_held
            events = stream.since(0)
            if len(events.times):
                stream.drop_before(int(events.times[0]) + self._slice_ps)
                self.counts.events_dropped += len(events.times) - len(stream.since(0).times)
            elif stream.ended:
                del self._streams[epoch]
            else:
                break
            held -= before - stream.bytes_held
        return self._drop(dropped, "the announcing end's memory is full")

    def _refuse_slice(self, slice_id: SliceId, cause: str) -> list[Message]:
        self.counts.dropped += 1
        return self._drop([slice_id], cause)

    def _drop(self, slices: list[SliceId], cause: str) -> list[Message]:
        """Tells of slices dropped here; the peer may name them in a block before it hears of it."""
        self._dropped += slices
        return self._say(DropSlices(tuple(slices), cause)) if slices else []

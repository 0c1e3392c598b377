"""Runs one end's acquisition engine: tags and messages in, messages and blocks out.

One worker thread at a time feeds the engine, in the order in which things arrived: the engine
needs no lock, and the event loop never waits for it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.errors import QkdError
from qkd_controller.config.link import Timing
from qkd_controller.config.node import Channel
from qkd_controller.devices.tagger import RunEnded, RunEvent, RunStarted
from qkd_controller.link.acquisition_messages import EVENTS_A_MESSAGE
from qkd_controller.link.errors import LinkError
from qkd_controller.link.message import Message
from qkd_controller.node.outbox import Outbox, size_bytes
from qkd_drivers.contract import Tags
from qkd_native.clicks import EventResolver

BATCH_S = 0.05
AMPLE_BYTES = 1 << 20
"""With so much at hand, the engine is visited at once."""
INBOX_LIMIT_BYTES = 64 << 20
_PIECE = EVENTS_A_MESSAGE
"""Tags that go through all stages at a time: about what a message holds."""

Engine = ReferenceEnd | AnnouncingEnd
Work = Callable[[Engine], Iterable[Message]]
R = TypeVar("R")
Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]


class EventSource:
    """Turns one tagger's stream into events of the engine, run by run.

    A tagger's times lie on a grid of resolution_ps. The delay of a channel would shift its grid,
    and every announced time would tell by its remainder which detector had fired. Each tag is
    therefore first moved by a random part of a grid step: whatever the delays, the remainders are
    uniform then. It costs the coincidence peak the width of one more quantisation at each end.

    A run in which a click came too late to be put in its place ends unclean: events that it should
    have joined or kept dead are already out. In the first dead time of a run no event is taken,
    since a detector may be dead from a click before it.
    """

    def __init__(self, timing: Timing, channels: tuple[Channel, ...], resolution_ps: int) -> None:
        self._timing = timing
        self._resolution_ps = resolution_ps
        self._delays_ps = {c.channel: c.delay_ps for c in channels}
        self._codes = {c.channel: c.bit | (c.basis == "x") << 1 for c in channels}
        # A click before time 0 may have been moved beyond it by a negative delay.
        self._quiet_until_ps = timing.dead_time_ps - min(0, *self._delays_ps.values())
        self._epoch = 0
        self._clicks = self._resolver()

    def apply(self, item: RunEvent, engine: Engine) -> list[Message]:
        """Feeds one item of the stream to the engine; for the worker thread."""
        if isinstance(item, RunStarted):
            self._epoch, self._clicks = item.epoch, self._resolver()
            return engine.begin_epoch(item.epoch, item.utc_ns)
        if isinstance(item, Tags):
            messages = []
            for begin in range(0, len(item.times_ps), _PIECE):
                piece = slice(begin, begin + _PIECE)
                click = partial(self._clicks.feed, item.times_ps[piece], item.channels[piece])
                messages += self._fill(engine, len(item.times_ps[piece]), click)
            return messages
        messages = self._fill(engine, 0, self._clicks.flush)
        clean, cause = item.clean, item.cause
        if clean and self._clicks.non_monotone:
            clean, cause = False, f"{self._clicks.non_monotone} clicks came too late to be ordered"
        return messages + engine.end_epoch(item.epoch, item.end_ps, clean, cause)

    def _fill(
        self, engine: Engine, clicks: int, resolve: Callable[[Times, Codes], int]
    ) -> list[Message]:
        """Has so many clicks resolved to events where the engine keeps them."""

        def write(times: Times, codes: Codes) -> tuple[int, int | None]:
            count = resolve(times, codes)
            early = int(np.searchsorted(times[:count], self._quiet_until_ps))
            if early:
                count -= early
                times[:count], codes[:count] = times[early:][:count], codes[early:][:count]
                codes[count : count + early] = 0
            return count, self._clicks.complete_until_ps if clicks else None

        return engine.fill(self._epoch, self._clicks.room(clicks), write)

    def _resolver(self) -> EventResolver:
        return EventResolver(
            self._timing.coincidence_window_ps,
            self._timing.dead_time_ps,
            self._delays_ps,
            self._codes,
            step_ps=self._resolution_ps,
        )


@dataclass(frozen=True)
class _Attach:
    """From here on the engine speaks to a new session's peer."""

    outbox: Outbox


@dataclass(frozen=True)
class _Question:
    """Something that is wanted of the engine besides its messages."""

    ask: Callable[[Any], Any]
    answer: asyncio.Future[Any]


@dataclass
class _Batch:
    """Work for one visit to the engine, bounded in bytes of tags and messages."""

    works: "list[Work | _Attach | _Question]" = field(default_factory=list)
    held_bytes: int = 0


@dataclass
class _Done:
    """What one visit brought."""

    attached: Outbox | None = None
    messages: list[Message] = field(default_factory=list)
    answers: list[Callable[[], None]] = field(default_factory=list)
    fault: LinkError | None = None
    pending: bool = False


class Matching:
    """Feeds the engine in batches, and hands its messages to the session that is attached."""

    def __init__(
        self,
        engine: Engine,
        source: EventSource,
        on_message: Callable[[Message], None],
        on_fault: Callable[[LinkError], None],
    ) -> None:
        self.engine = engine
        self._source = source
        self._on_message = on_message
        self._on_fault = on_fault
        self._batch = _Batch()
        self._wake = asyncio.Event()
        self._due = asyncio.Event()
        self._roomy = asyncio.Event()
        self._epoch = 0
        self._lossy_epoch: int | None = None
        self._outbox: Outbox | None = None

    def feed(self, item: RunEvent) -> None:
        """Takes a stream item; tags beyond the limit are dropped and their run marked unclean."""
        if isinstance(item, RunStarted):
            self._epoch = item.epoch
        elif isinstance(item, Tags):
            if self._batch.held_bytes + item.times_ps.nbytes > INBOX_LIMIT_BYTES:
                self._lossy_epoch = self._epoch
                return
            self._batch.held_bytes += item.times_ps.nbytes
        elif self._lossy_epoch == item.epoch:
            cause = "tags came faster than they were matched"
            item = RunEnded(item.epoch, item.end_ps, False, cause, item.dead_s)
        self._put(lambda engine: self._source.apply(item, engine))

    async def receive(self, message: Message) -> None:
        """Takes a message of the peer's engine, once there is room for it."""
        while self._batch.held_bytes > INBOX_LIMIT_BYTES:
            await self._roomy.wait()
        self._batch.held_bytes += size_bytes(message)
        self._put(lambda engine: engine.receive(message))

    def tell(self, work: Work) -> None:
        """Has the engine do something in its turn; its messages go to the peer."""
        self._put(work)

    async def call(self, ask: Callable[[Any], R]) -> R:
        """Asks the engine something in its turn, after all that was fed before.

        The answer comes once everything that the engine said before it is on its way to the peer.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._put(_Question(ask, answer))
        self._due.set()
        return await answer

    def attach(self, outbox: Outbox) -> None:
        """Starts anew with a peer: messages go here, and none from before this call does."""
        self._put(_Attach(outbox))

    def detach(self, outbox: Outbox) -> None:
        """Ends what attach() began, unless a newer session is attached by now."""
        if self._outbox is outbox:
            self._outbox = None
        self._put(_forget_peer)

    async def run(self) -> None:
        """Feeds the engine until cancelled."""
        while True:
            await self._wake.wait()
            # Small batches would spend more on threads than on tags, unless somebody waits.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BATCH_S):
                    await self._due.wait()
            self._wake.clear()
            self._due.clear()
            batch, self._batch = self._batch, _Batch()
            self._roomy.set()
            self._roomy.clear()
            self._finish(await asyncio.to_thread(self._work, batch.works))
            if isinstance(self.engine, ReferenceEnd):
                # On its own: a step may be long, and changes of mode must leave before it.
                self._finish(await asyncio.to_thread(_step, self.engine))

    def _put(self, work: "Work | _Attach | _Question") -> None:
        self._batch.works.append(work)
        self._wake.set()
        if self._batch.held_bytes >= AMPLE_BYTES:
            self._due.set()

    def _work(self, works: "list[Work | _Attach | _Question]") -> "_Done":
        done = _Done()
        for work in works:
            try:
                if isinstance(work, _Attach):
                    self.engine.reset_peer()
                    done.attached, done.messages = work.outbox, self.engine.begin_session()
                    done.fault = None
                elif isinstance(work, _Question):
                    done.answers.append(_asked(work, self.engine))
                else:
                    done.messages += work(self.engine)
            except LinkError as error:
                done.fault = error
        return done

    def _finish(self, done: "_Done") -> None:
        """Passes on what a visit to the engine brought."""
        if done.attached is not None:
            self._outbox = done.attached
        for message in done.messages:
            self._on_message(message)
            self._send(message)
        for settle in done.answers:
            settle()
        if done.fault is not None:
            self._on_fault(done.fault)
        if done.pending:
            self._wake.set()

    def _send(self, message: Message) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.put(message)
        except LinkError as error:
            self._outbox = None
            self._on_fault(error)


def _step(engine: ReferenceEnd) -> _Done:
    return _Done(messages=list(engine.step()), pending=engine.pending)


def _forget_peer(engine: Engine) -> list[Message]:
    engine.reset_peer()
    return []


def _asked(question: _Question, engine: Engine) -> Callable[[], None]:
    """Asks the engine now; what it returns gives the answer, on the event loop."""
    answer = question.answer
    try:
        give = partial(answer.set_result, question.ask(engine))
    except QkdError as error:
        give = partial(answer.set_exception, error)
    return lambda: None if answer.done() else give()

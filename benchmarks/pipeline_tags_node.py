"""One node of ``benchmarks.pipeline --from tags``: ``-m benchmarks.pipeline_tags_node``.

Tags are made up front, the same seed at both ends. From there on all is the node's own: clicks to
events, announcements, the search for the clock, matching slice by slice, the session over TLS. A
run is one epoch, and its slices are counted once they are matched.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import numpy as np
from benchmarks.pipeline_meter import Meter
from benchmarks.pipeline_pair import Post
from benchmarks.pipeline_process import peak_rss_bytes, run, serve

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.end import TagEnd
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.node import Channel
from qkd_controller.devices.tagger import RunStarted
from qkd_controller.keys.store import KeyStore
from qkd_controller.link.acquisition_messages import ACQUISITION_MESSAGES, SliceMatched, SlicesLost
from qkd_controller.link.errors import LinkError
from qkd_controller.link.message import Message
from qkd_controller.link.resumption import Resumption
from qkd_controller.link.session import Session, session_codec
from qkd_controller.link.tls_pipe import TlsPipe
from qkd_controller.node.matching import EventSource, Matching
from qkd_controller.node.outbox import Outbox
from qkd_drivers.contract import Tags
from qkd_native.photons import PhotonSource, PhotonTable, on_clock

CHANNELS = tuple(Channel(1 + i, "zx"[i // 2], i % 2) for i in range(4))
RESOLUTION_PS = 4
RATE_ERROR = 3e-6
"""Of the second node's clock."""
TAGS_A_PIECE = 1 << 20
HELD_LIMIT_BYTES = 48 << 20
PAUSE_S = 0.01


class Recording(msgspec.Struct, frozen=True):
    """Tags of a simulated link, the same photons at both ends."""

    table: PhotonTable
    seconds: int

    def tags(self, post: Post) -> Tags:
        """This end's, on its own clock."""
        source, end = PhotonSource(1), post.link.nodes.index(post.name)
        times, channels = [], []
        for tick in range(1, 100 * self.seconds + 1):
            clicks = source.generate(self.table, tick * 10**10)[end]
            rate_error = end * RATE_ERROR
            times.append(
                on_clock(clicks[0], at_ps=0, own_ps=0, remainder_ps=0.0, rate_error=rate_error)
            )
            channels.append(clicks[1])
        return Tags(np.concatenate(times), np.concatenate(channels))


class Job(msgspec.Struct, frozen=True):
    """What a node is to do."""

    post: Post
    recording: Recording


class Outcome(msgspec.Struct, frozen=True):
    """What a node measured between the first slices and the last."""

    span_s: float
    slices: int
    lost: int
    """Slices among them without a match."""
    tags: int
    """Of the node's own in these slices."""
    matched: int
    """Pairs."""
    sent_bytes: int
    cpu_s: dict[str, float]
    page_faults: int
    peak_rss_bytes: int
    tags_bytes: int
    """Of it, the recorded tags."""


class _Node:
    def __init__(self, job: Job, meter: Meter) -> None:
        self._job = job
        self._meter = meter
        self._is_reference = job.post.link.roles.time_reference == job.post.name
        self._tags = job.recording.tags(job.post)
        self._slices = self._lost = self._matched = 0
        self._marks: list[tuple[float, int, int, int, int, int, dict[str, float]]] = []
        total = job.recording.seconds * 1000 // job.post.link.timing.slice_ms
        # By then memory that is kept has been touched, and the other end is still busy.
        self._measured = (total // 4, total * 3 // 4)
        self._sent_bytes = 0
        self._enough = asyncio.Event()

    async def run(self) -> Outcome:
        post = self._job.post
        self._count_bytes()
        with KeyStore(Path(post.state_dir)) as store:
            end = post.endpoint(store, session_codec(ACQUISITION_MESSAGES))
            await serve(end, self._serve, self._enough)
        first, last = self._marks
        begin, *counts, before = first
        stop, *counts_then, after = last
        slices, lost, matched, sent, faults = (
            b - a for a, b in zip(counts, counts_then, strict=True)
        )
        total = self._job.recording.seconds * 1000 // post.link.timing.slice_ms
        return Outcome(
            stop - begin,
            slices,
            lost,
            len(self._tags.times_ps) * slices // total,
            matched,
            sent,
            {key: after[key] - before.get(key, 0.0) for key in after},
            faults,
            peak_rss_bytes(),
            self._tags.times_ps.nbytes + self._tags.channels.nbytes,
        )

    async def _serve(self, session: Session, _: Resumption) -> None:
        matching = matching_of(self._job.post, self._seen)
        engine, outbox = matching.engine, Outbox()
        matching.attach(outbox)
        if isinstance(engine, ReferenceEnd):
            matching.tell(lambda _: [engine.set_mode("key", 0)])
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(matching.run())
                group.create_task(send(session, outbox))
                group.create_task(self._feed(matching))
                async for message in session.messages():
                    self._seen(message)
                    await matching.receive(message)
        finally:
            # The announcing end hears of a slice last, and is the one to close.
            if len(self._marks) == 2:
                self._enough.set()

    async def _feed(self, matching: Matching) -> None:
        async for _ in play(matching, self._tags, 0, 0):
            pass

    def _seen(self, message: Message) -> None:
        """Counts a decided slice, whichever end this is."""
        if isinstance(message, SliceMatched):
            self._slices += 1
            self._matched += message.count
        elif isinstance(message, SlicesLost):
            self._slices += message.count
            self._lost += message.count
        else:
            return
        if len(self._marks) < 2 and self._slices >= self._measured[len(self._marks)]:
            counts = (self._slices, self._lost, self._matched, self._sent_bytes)
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            self._marks.append((time.monotonic(), *counts, faults, self._meter.snapshot()))
            if len(self._marks) == 2 and not self._is_reference:
                self._enough.set()

    def _count_bytes(self) -> None:
        write = TlsPipe.write

        def counted(pipe: TlsPipe, *parts: bytes) -> None:
            self._sent_bytes += sum(map(len, parts))
            write(pipe, *parts)

        TlsPipe.write = counted  # type: ignore[method-assign]


def matching_of(post: Post, on_message: Callable[[Message], None]) -> Matching:
    """A node's engine."""
    timing = post.link.timing
    is_reference = post.link.roles.time_reference == post.name
    engine = (ReferenceEnd if is_reference else AnnouncingEnd)(timing)
    source = EventSource(timing, CHANNELS, RESOLUTION_PS)
    return Matching(engine, source, on_message, _failed)


async def play(matching: Matching, tags: Tags, epoch: int, utc_ns: int) -> AsyncIterator[int]:
    """Feeds a run, as fast as it is taken, and tells how many tags of it went in each time."""
    matching.feed(RunStarted(epoch, utc_ns))
    for begin in range(0, len(tags.times_ps), TAGS_A_PIECE):
        while True:
            if await matching.call(TagEnd.bytes_held) <= HELD_LIMIT_BYTES:
                break
            await asyncio.sleep(PAUSE_S)
        piece = slice(begin, begin + TAGS_A_PIECE)
        times_ps = tags.times_ps[piece]
        matching.feed(Tags(times_ps, tags.channels[piece]))
        yield len(times_ps)


async def send(session: Session, outbox: Outbox) -> None:
    """What the engine has to say."""
    while True:
        await session.send(await outbox.get())


def _failed(error: LinkError) -> None:
    raise error


if __name__ == "__main__":
    run(Job, lambda job, meter: _Node(job, meter).run())

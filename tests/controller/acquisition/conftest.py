"""A link in one process: two tag ends, the events of their runs, and the wire between them."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Union

import msgspec
import numpy as np
import pytest

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import (
    ACQUISITION_MESSAGES,
    SliceMatched,
)
from qkd_controller.link.message import Message

PS = 10**12
WIRE: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[ACQUISITION_MESSAGES])  # noqa: UP007


@dataclass(frozen=True)
class Clock:
    """A tagger's clock against true time: rate error, a frequency that wanders, and one step."""

    drift_ppm: float = 0.0
    wander_ppb: float = 0.0
    period_s: float = 8.0
    step_at_s: float = 1e9
    step_s: float = 0.0

    def stream_ps(self, true_s, begin_s):
        elapsed = true_s - begin_s + self.step_s * (true_s >= self.step_at_s)
        swing = self.wander_ppb * 1e-9 * self.period_s / (2 * np.pi)
        wander = swing * (1 - np.cos(2 * np.pi * true_s / self.period_s))
        wander -= swing * (1 - np.cos(2 * np.pi * begin_s / self.period_s))
        small = (self.drift_ppm * 1e-6 * elapsed + wander) * PS
        return np.rint(elapsed * PS).astype(np.int64) + np.rint(small).astype(np.int64)


@dataclass(frozen=True)
class Run:
    """A run of one end: from when to when, how wrong its time stamp is, how it ended."""

    begin_s: float
    end_s: float
    stamp_error_s: float = 0.0
    clean: bool = True


@dataclass
class Light:
    """Pairs of one source, seen by both ends; rates in 1/s, codes of equal basis agree."""

    seconds: float
    pairs: float = 12_000.0
    alone: float = 40_000.0
    jitter_s: float = 0.7e-9
    error_ratio: float = 0.02
    dark: tuple[tuple[float, float], ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        together = np.sort(rng.uniform(0, self.seconds, rng.poisson(self.pairs * self.seconds)))
        for begin, end in self.dark:
            together = together[(together < begin) | (together >= end)]
        count = len(together)
        codes = rng.integers(0, 4, count, np.uint8)
        basis = rng.integers(0, 2, count, np.uint8)
        flip = (rng.random(count) < self.error_ratio).astype(np.uint8)
        same = codes >> 1 == basis
        peer = np.where(same, (codes & 1) ^ flip, rng.integers(0, 2, count, np.uint8)) | basis << 1
        self.events = {
            "reference": self._end(rng, together, codes),
            "announcing": self._end(rng, together, peer),
        }

    def _end(self, rng, together, codes):
        alone = rng.uniform(0, self.seconds, rng.poisson(self.alone * self.seconds))
        times = np.concatenate((together + rng.normal(0, self.jitter_s, len(together)), alone))
        every = np.concatenate((codes, rng.integers(0, 4, len(alone), np.uint8)))
        order = np.argsort(times)
        times, every = times[order], every[order].astype(np.uint8)
        apart = np.concatenate(([True], np.diff(times) > 60e-9))
        return times[apart], every[apart]


@dataclass
class Link:
    """Both ends on one virtual clock; every message goes through its encoding."""

    light: Light
    runs: dict[str, list[Run]]
    clocks: dict[str, Clock]
    timing: Timing = field(default_factory=lambda: Timing(search_span_ms=300))
    bytes_limit: int = 64 << 20
    resolution_ps: int = 2000
    tick_s: float = 0.05

    def __post_init__(self) -> None:
        self.reference = ReferenceEnd(self.timing, self.bytes_limit)
        self.announcing = AnnouncingEnd(self.timing, self.bytes_limit)
        self.ends: dict[str, Any] = {"reference": self.reference, "announcing": self.announcing}
        self.connected = False
        self.begun = False
        self.now_s = 0.0
        self.sent: list[Message] = []
        self.epochs = {"reference": itertools.count(100), "announcing": itertools.count(7)}
        self.epoch: dict[str, int | None] = {"reference": None, "announcing": None}
        self.todo = {end: list(runs) for end, runs in self.runs.items()}

    def connect(self) -> None:
        assert not self.connected
        self.connected = True
        first, second = self.reference.begin_session(), self.announcing.begin_session()
        self.send("reference", first)
        self.send("announcing", second)
        if not self.begun:
            self.begun = True
            self.send("reference", [self.reference.set_mode("key", guard_ps=0)])

    def cut(self) -> None:
        self.connected = False
        self.reference.reset_peer()
        self.announcing.reset_peer()

    def send(self, end: str, messages: Iterable[Message]) -> None:
        for message in messages:
            assert self.connected, "said something while no session is open"
            self.sent.append(message)
            other = "announcing" if end == "reference" else "reference"
            self.send(other, self.ends[other].receive(self.carry(message)))

    def carry(self, message: Message) -> Message:
        return WIRE.decode(msgspec.msgpack.encode(message))

    def play(self, until_s: float, step: bool = True) -> None:
        """Lets time pass: both ends get their events tick by tick, and the work is done."""
        while self.now_s < until_s - 1e-9:
            before = self.now_s
            self.now_s = round(min(until_s, before + self.tick_s), 9)
            for end in self.ends:
                self._feed(end, before, self.now_s)
            if step:
                self.work()

    def work(self) -> None:
        while True:
            self.send("reference", self.reference.step())
            if not self.reference.pending:
                return

    def take_all(self) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
        """All settled slices, block by block, with the codes of both ends."""
        ids: list[tuple[int, int]] = []
        mine, theirs = [np.empty(0, np.uint8)], [np.empty(0, np.uint8)]
        while block := self.reference.take_block(min(2000, max(1, self.reference.settled_pairs))):
            ids += block.slices
            mine.append(block.codes)
            theirs.append(self.announcing.take_slices(tuple(s) for s in block.slices))
        return ids, np.concatenate(mine), np.concatenate(theirs)

    def matched(self) -> list[SliceMatched]:
        return [m for m in self.sent if isinstance(m, SliceMatched)]

    def _feed(self, end: str, low_s: float, high_s: float) -> None:
        while self.todo[end]:
            run = self.todo[end][0]
            if run.begin_s >= high_s:
                return
            if self.epoch[end] is None:
                self.epoch[end] = next(self.epochs[end])
                utc_ns = 1_700_000_000 * 10**9 + round((run.begin_s + run.stamp_error_s) * 1e9)
                self.send(end, self.ends[end].begin_epoch(self.epoch[end], utc_ns))
            begin, stop = max(low_s, run.begin_s), min(high_s, run.end_s)
            times, codes = self.light.events[end]
            i, j = np.searchsorted(times, (begin, stop))
            stream = self.clocks[end].stream_ps(times[i:j], run.begin_s)
            stream = stream // self.resolution_ps * self.resolution_ps
            until = int(self.clocks[end].stream_ps(np.array([stop]), run.begin_s)[0])
            until = until // self.resolution_ps * self.resolution_ps
            self.send(end, self.ends[end].add(self.epoch[end], stream, codes[i:j], until))
            if run.end_s > high_s:
                return
            cause = "" if run.clean else "overflow"
            self.send(end, self.ends[end].end_epoch(self.epoch[end], until, run.clean, cause))
            self.epoch[end] = None
            del self.todo[end][0]


def qber(mine: np.ndarray, theirs: np.ndarray) -> float:
    same = mine >> 1 & 1 == theirs >> 1 & 1
    return float(np.mean((mine[same] & 1) != (theirs[same] & 1)))


@pytest.fixture
def link_kit():
    """The pieces to build links from."""
    return _Kit


class _Kit:
    Clock, Run, Light, Link = Clock, Run, Light, Link
    qber = staticmethod(qber)

"""One node of ``benchmarks.pipeline``, in a process of its own: ``-m benchmarks.pipeline_node``.

Everything from the TLS handshake to the key store is the node's own; only the matched codes are
made up, the same seed at both ends.
"""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from benchmarks.pipeline_meter import BENCHMARK, Meter
from benchmarks.pipeline_pair import Post
from benchmarks.pipeline_process import ignore, peak_rss_bytes, run, serve

from qkd_controller.distillation.block import BlockPart, MatchedBlock
from qkd_controller.distillation.report import BlockReport
from qkd_controller.distillation.workspace import Workspace
from qkd_controller.keys.store import KeyStore
from qkd_controller.link.acquisition_messages import ACQUISITION_MESSAGES
from qkd_controller.link.block_messages import BLOCK_MESSAGES
from qkd_controller.link.resumption import Resumption
from qkd_controller.link.running_messages import BlockCut
from qkd_controller.link.session import Session, session_codec
from qkd_controller.node.distilling import Distiller, window_blocks
from qkd_controller.node.pace import Pace
from qkd_controller.node.releases import Releases
from qkd_controller.security.leakage import LeakageMonitor
from qkd_native.bits import BitString

MOST_DISCARDED = 3
TEMPLATES = 2
"""Different blocks; their codes are copied, as distillation wipes them, to memory that earlier
blocks have let go of. That is the benchmark's own time and memory."""


class Work(msgspec.Struct, frozen=True):
    """What any node that distils is to do."""

    post: Post
    qber: float
    """That is to be expected."""
    warm_blocks: int
    """Released before the measurement begins."""
    measured_blocks: int


class Job(Work, frozen=True):
    """What a node is to do that begins with codes."""

    z_share: float
    """Of the bases, at both ends."""


class Release(msgspec.Struct, frozen=True):
    """One block that made key."""

    at_s: float
    sifted_bits: int
    key_bits: int
    secret_bits: int
    leaked_bits: int
    rounds: int


class Outcome(msgspec.Struct, frozen=True):
    """What a node measured between two releases."""

    releases: tuple[Release, ...]
    discarded: tuple[str, ...]
    cpu_s: dict[str, float]
    kernel_s: float
    """Of all that, in the kernel: sockets, page faults, files, random bytes, threads."""
    peak_rss_bytes: int
    made_up_bytes: int
    """Of it, the codes or tags that the benchmark made up and keeps."""
    tags: int = 0
    """Own ones that were taken in the meantime, of a node that begins with them."""


class DistillingNode(ABC):
    """Distils the blocks of its matched pairs until enough of them have made key."""

    def __init__(self, job: Work, meter: Meter) -> None:
        self._post = job.post
        self._job = job
        self._meter = meter
        self._releases: list[Release] = []
        self._discarded: list[str] = []
        self._snapshots: list[dict[str, float]] = []
        self._kernel_s: list[float] = []
        self._tags: list[int] = []
        self._enough = asyncio.Event()
        self._workspace = Workspace(job.post.link.block.in_flight_mib << 20)
        self._pace = Pace(job.post.link.block, window_blocks(job.post.link.block))
        self._cuts = job.post.link.roles.time_reference == job.post.name

    async def run(self) -> Outcome:
        job = self._job
        with KeyStore(Path(job.post.state_dir)) as store:
            messages = (*BLOCK_MESSAGES, *ACQUISITION_MESSAGES, BlockCut)
            end = job.post.endpoint(store, session_codec(messages))
            self._reported = Releases(end.store, self._released)
            await serve(end, self._serve, self._enough)
        if len(self._snapshots) < 2:
            raise SystemExit(f"{self._post.name}: most blocks make no key: {self._discarded[-1]}")
        first, last = self._snapshots
        return Outcome(
            tuple(self._releases[job.warm_blocks - 1 :]),
            tuple(self._discarded),
            {key: last[key] - first.get(key, 0.0) for key in last},
            self._kernel_s[1] - self._kernel_s[0],
            peak_rss_bytes(),
            self.made_up_bytes(),
            self._tags[1] - self._tags[0],
        )

    @abstractmethod
    async def work(self, session: Session, distiller: Distiller, group: asyncio.TaskGroup) -> None:
        """Brings the distiller its blocks, and takes in the peer's messages, till the end."""

    @abstractmethod
    def waiting_pairs(self) -> int:
        """Matched pairs that wait to be cut into blocks."""

    @abstractmethod
    def made_up_bytes(self) -> int:
        """Memory that is the benchmark's own."""

    def tags_taken(self) -> int:
        """So far."""
        return 0

    async def _serve(self, session: Session, _: Resumption) -> None:
        roles, plan = self._post.link.roles, self._post.link.block
        distiller = Distiller(
            session,
            BlockPart(
                commit_leader=roles.commit_leader == self._post.name,
                bit_reference=roles.bit_reference == self._post.name,
            ),
            plan,
            lambda: self._job.qber,
            self.waiting_pairs,
            LeakageMonitor(),
            self._workspace,
            self._pace,
            self._reported,
            ignore,
            ignore,
            self._discard,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(distiller.run())
                await self.work(session, distiller, group)
        finally:
            # The follower is the one to close.
            if len(self._snapshots) == 2:
                self._enough.set()

    def _discard(self, _: int, cause: str) -> None:
        """One may be bad luck; if none makes key, there is nothing to measure."""
        self._discarded.append(cause)
        if len(self._discarded) > max(MOST_DISCARDED, len(self._releases)):
            self._enough.set()

    def _released(self, block: int, report: BlockReport) -> None:
        job = self._job
        if len(self._snapshots) == 2:
            # By now the leader has counted the block before this one, too.
            if job.post.link.roles.commit_leader != job.post.name:
                self._enough.set()
            return
        key = report.key_string
        self._releases.append(
            Release(
                time.monotonic(),
                report.sifted_z_bits + report.sifted_x_bits,
                key.string_bits,
                report.released_bits,
                key.leaked_bits,
                key.rounds,
            )
        )
        if len(self._releases) in (job.warm_blocks, job.warm_blocks + job.measured_blocks):
            self._snapshots.append(self._meter.snapshot())
            self._kernel_s.append(os.times().system)
            self._tags.append(self.tags_taken())


class _Node(DistillingNode):
    def __init__(self, job: Job, meter: Meter) -> None:
        super().__init__(job, meter)
        self._templates = [_codes(job, seed) for seed in range(TEMPLATES)]
        self._spare: list[np.ndarray] = []
        self._matched = meter.timed(self._made_up, "making up codes", BENCHMARK)

    async def work(self, session: Session, distiller: Distiller, group: asyncio.TaskGroup) -> None:
        if self._cuts:
            group.create_task(self._cut(session, distiller))
        async for message in session.messages():
            assert isinstance(message, BlockCut)
            distiller.put(self._matched(message.block))

    def waiting_pairs(self) -> int:
        return self._post.link.block.pairs * self._pace.window_blocks

    def made_up_bytes(self) -> int:
        return sum(codes.nbytes for codes in (*self._templates, *self._spare))

    async def _cut(self, session: Session, distiller: Distiller) -> None:
        while True:
            await distiller.room()
            block = session.next_block
            distiller.put(self._matched(block))
            await session.send(BlockCut(block, ()))

    def _made_up(self, block: int) -> MatchedBlock:
        template = self._templates[block % TEMPLATES]
        codes = self._spare.pop() if self._spare else np.empty_like(template)
        np.copyto(codes, template)
        return _Recycled(block, codes, self._spare)


@dataclass(repr=False)
class _Recycled(MatchedBlock):
    """A block whose codes, once they are wiped, hold another block's."""

    spare: list[np.ndarray]

    def take_apart(self, bits: BitString, bases: BitString) -> int:
        codes = self.codes
        multi_clicks = super().take_apart(bits, bases)
        self.spare.append(codes)
        return multi_clicks


def _codes(job: Job, seed: int) -> np.ndarray:
    """This end's codes: bits differ at the error rate, whatever their bases."""
    rng, pairs = np.random.default_rng(seed), job.post.link.block.pairs
    bases = [(rng.random(pairs, np.float32) > job.z_share).view(np.uint8) for _ in range(2)]
    bits = rng.integers(0, 2, pairs, np.uint8)
    noise = (rng.random(pairs, np.float32) < job.qber).view(np.uint8)
    if job.post.name == job.post.link.nodes[0]:
        return bits | bases[0] << 1
    return bits ^ noise | bases[1] << 1


if __name__ == "__main__":
    run(Job, lambda job, meter: _Node(job, meter).run())

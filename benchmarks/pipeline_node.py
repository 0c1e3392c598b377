"""One node of ``benchmarks.pipeline``, in a process of its own: ``-m benchmarks.pipeline_node``.

Everything from the TLS handshake to the key store is the node's own; only the matched codes are
made up, the same seed at both ends.
"""

import asyncio
import os
import time
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
from qkd_controller.link.block_messages import BLOCK_MESSAGES
from qkd_controller.link.resumption import Resumption
from qkd_controller.link.running_messages import BlockCut
from qkd_controller.link.session import Session, session_codec
from qkd_controller.node.distilling import Distiller, window_blocks
from qkd_controller.node.pace import Pace
from qkd_controller.node.releases import Releases
from qkd_controller.security.leakage import LeakageMonitor
from qkd_native.bits import BitString

TEMPLATES = 2
"""Different blocks; their codes are copied, as distillation wipes them, to memory that earlier
blocks have let go of. That is the benchmark's own time and memory."""


class Job(msgspec.Struct, frozen=True):
    """What a node is to do."""

    post: Post
    qber: float
    z_share: float
    """Of the bases, at both ends."""
    warm_blocks: int
    """Released before the measurement begins."""
    measured_blocks: int


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
    codes_bytes: int
    """Of it, what the benchmark made up and keeps."""


class _Node:
    def __init__(self, job: Job, meter: Meter) -> None:
        self._job = job
        self._meter = meter
        self._templates = [_codes(job, seed) for seed in range(TEMPLATES)]
        self._releases: list[Release] = []
        self._discarded: list[str] = []
        self._spare: list[np.ndarray] = []
        self._snapshots: list[dict[str, float]] = []
        self._kernel_s: list[float] = []
        self._enough = asyncio.Event()
        self._workspace = Workspace(job.post.link.block.in_flight_mib << 20)
        self._pace = Pace(job.post.link.block, window_blocks(job.post.link.block))
        self._matched = meter.timed(self._made_up, "making up codes", BENCHMARK)

    async def run(self) -> Outcome:
        job = self._job
        with KeyStore(Path(job.post.state_dir)) as store:
            end = job.post.endpoint(store, session_codec((*BLOCK_MESSAGES, BlockCut)))
            self._reported = Releases(end.store, self._released)
            await serve(end, self._serve, self._enough)
        first, last = self._snapshots
        return Outcome(
            tuple(self._releases[job.warm_blocks - 1 :]),
            tuple(self._discarded),
            {key: last[key] - first.get(key, 0.0) for key in last},
            self._kernel_s[1] - self._kernel_s[0],
            peak_rss_bytes(),
            sum(codes.nbytes for codes in (*self._templates, *self._spare)),
        )

    async def _serve(self, session: Session, _: Resumption) -> None:
        roles, plan = self._job.post.link.roles, self._job.post.link.block
        distiller = Distiller(
            session,
            BlockPart(
                commit_leader=roles.commit_leader == self._job.post.name,
                bit_reference=roles.bit_reference == self._job.post.name,
            ),
            plan,
            lambda: self._job.qber,
            lambda: plan.pairs * self._pace.window_blocks,
            LeakageMonitor(),
            self._workspace,
            self._pace,
            self._reported,
            ignore,
            ignore,
            lambda block, cause: self._discarded.append(cause),
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(distiller.run())
                if roles.time_reference == self._job.post.name:
                    group.create_task(self._cut(session, distiller))
                async for message in session.messages():
                    assert isinstance(message, BlockCut)
                    distiller.put(self._matched(message.block))
        finally:
            # The follower is the one to close.
            if len(self._snapshots) == 2:
                self._enough.set()

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

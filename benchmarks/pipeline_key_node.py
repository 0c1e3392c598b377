"""One node of ``benchmarks.pipeline --from tags --to key``: ``-m benchmarks.pipeline_key_node``.

A stretch of recorded tags is played again and again, each time as a run of its own that ends clean.
From there on all is the node's own, to the released key.
"""

import asyncio

from benchmarks.pipeline_meter import Meter
from benchmarks.pipeline_node import DistillingNode, Work
from benchmarks.pipeline_process import run
from benchmarks.pipeline_tags_node import Recording, matching_of, play, send

from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.devices.tagger import RunEnded
from qkd_controller.distillation.block import MatchedBlock
from qkd_controller.link.acquisition_messages import ACQUISITION_MESSAGES
from qkd_controller.link.message import Message
from qkd_controller.link.running_messages import BlockCut
from qkd_controller.link.session import Session
from qkd_controller.node.distilling import Distiller
from qkd_controller.node.outbox import Outbox

PAUSE_S = 0.05
"""Between one run and the next."""


class Job(Work, frozen=True):
    """What a node is to do that begins with tags."""

    recording: Recording


class _Node(DistillingNode):
    def __init__(self, job: Job, meter: Meter) -> None:
        super().__init__(job, meter)
        self._recording = job.recording
        self._played = job.recording.tags(job.post)
        self._taken = 0
        self._outbox = Outbox()
        self._collected = asyncio.Event()
        self._matching = matching_of(job.post, self._spoke)

    async def work(self, session: Session, distiller: Distiller, group: asyncio.TaskGroup) -> None:
        matching = self._matching
        matching.attach(self._outbox)
        engine = matching.engine
        if isinstance(engine, ReferenceEnd):
            matching.tell(lambda _: [engine.set_mode("key", 0)])
        group.create_task(matching.run())
        group.create_task(send(session, self._outbox))
        group.create_task(self._feed())
        if self._cuts:
            group.create_task(self._cut(session, distiller))
        async for message in session.messages():
            if isinstance(message, BlockCut):
                slices = message.slices
                codes = await matching.call(lambda engine, s=slices: engine.take_slices(s))
                distiller.put(MatchedBlock(message.block, codes))
            else:
                assert isinstance(message, ACQUISITION_MESSAGES)
                await matching.receive(message)

    def waiting_pairs(self) -> int:
        return self._matching.engine.settled_pairs

    def made_up_bytes(self) -> int:
        return self._played.times_ps.nbytes + self._played.channels.nbytes

    def tags_taken(self) -> int:
        return self._taken

    async def _feed(self) -> None:
        epoch = 0
        while True:
            utc_ns = round(epoch * (self._recording.seconds + PAUSE_S) * 1e9)
            async for count in play(self._matching, self._played, epoch, utc_ns):
                self._taken += count
            end_ps = int(self._played.times_ps[-1]) + 1
            self._matching.feed(RunEnded(epoch, end_ps, True, "", 0.0))
            epoch += 1

    async def _cut(self, session: Session, distiller: Distiller) -> None:
        pairs = self._post.link.block.pairs
        while True:
            await distiller.room()
            self._collected.clear()
            taken = await self._matching.call(lambda engine: engine.take_block(pairs))
            if taken is None:
                await self._collected.wait()
                continue
            slices, codes = taken
            block = session.next_block
            # In its turn among the engine's words: the peer must have heard of these slices.
            self._outbox.put(BlockCut(block, tuple(slices)))
            distiller.put(MatchedBlock(block, codes))

    def _spoke(self, _: Message) -> None:
        self._collected.set()


if __name__ == "__main__":
    run(Job, lambda job, meter: _Node(job, meter).run())

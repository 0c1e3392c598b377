"""Block after block from matched events to released key, in step with the other end.

Several blocks are in flight, so that neither end waits for the other's word on any one of them.
They are opened in the order in which they were cut and released in that order (see link.session);
in between each goes its own way.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.block import (
    BlockPart,
    DistilledBlock,
    MatchedBlock,
    distil,
)
from qkd_controller.distillation.workspace import Workspace, shared_bytes, state_bytes
from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.link.authentication import block_epsilon
from qkd_controller.link.channel import BlockChannel, Discard
from qkd_controller.link.dialogue import MOST_BLOCKS
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.session import Session
from qkd_controller.node.pace import Pace
from qkd_controller.node.releases import Releases
from qkd_controller.security.leakage import LeakageMonitor
from qkd_controller.security.ledger import BlockLedger

OnDiscarded = Callable[[int, str], None]
OnStage = Callable[[int, str], None]


def window_blocks(plan: BlockPlan) -> int:
    """How many blocks may be in flight: as many as fit into the plan's memory."""
    fitting = (plan.in_flight_mib * 2**20 - shared_bytes(plan)) // state_bytes(plan)
    return min(max(fitting, 1), MOST_BLOCKS)


class Distiller:
    """Distils the blocks of one session, several at once."""

    def __init__(
        self,
        session: Session,
        part: BlockPart,
        plan: BlockPlan,
        expected_qber: Callable[[], float],
        waiting_pairs: Callable[[], int],
        monitor: LeakageMonitor,
        workspace: Workspace,
        pace: Pace,
        releases: Releases,
        on_sifted: Callable[[int], None],
        on_stage: OnStage,
        on_discarded: OnDiscarded,
    ) -> None:
        self._session = session
        self._part = part
        self._plan = plan
        self._expected_qber = expected_qber
        self._waiting_pairs = waiting_pairs
        self._monitor = monitor
        self._on_sifted = on_sifted
        self._on_stage = on_stage
        self._on_discarded = on_discarded
        self._window = pace.window_blocks
        self._workspace = workspace
        self._pace = pace
        pace.answered(session.agreement.round_trip_s)
        self._releases = releases
        self._in_flight: dict[int, MatchedBlock] = {}
        self._stages: dict[int, str] = {}
        """Of the blocks in flight, in order."""
        self._one_less = asyncio.Event()
        self._opened: asyncio.Queue[BlockChannel] = asyncio.Queue()

    async def room(self) -> None:
        """Waits until one more block may be put."""
        while len(self._in_flight) >= self._window:
            self._one_less.clear()
            await self._one_less.wait()

    def put(self, matched: MatchedBlock) -> None:
        """Opens a block that both ends have cut; raises ProtocolError if it is one too many.

        The peer that cuts keeps to the same window, but may be rid of a block before this end is.
        """
        if len(self._in_flight) >= 2 * self._window:
            raise ProtocolError("the peer cuts blocks faster than they are distilled")
        channel = self._session.open_block(matched.block, BlockLedger())
        self._in_flight[matched.block] = matched
        self._pace.opened()
        self._enter(matched.block, "distilling")
        self._opened.put_nowait(channel)

    async def run(self) -> None:
        """Distils until cancelled; a session that fails ends it with its LinkError."""
        async with self._releases.during_session():
            try:
                async with asyncio.TaskGroup() as group:
                    while True:
                        group.create_task(self._block(await self._opened.get()))
            finally:
                for unfinished in self._in_flight.values():
                    unfinished.wipe()

    async def refuse(self, block: int, cause: str) -> None:
        """Discards a block that the peer has cut and this end cannot make."""
        channel = self._session.open_block(block, BlockLedger())
        await channel.send(Discard(block, cause))
        self._session.close_block(block)
        self._on_discarded(block, cause)

    async def _block(self, channel: BlockChannel) -> None:
        block = channel.block
        expected_qber = self._expected_qber()
        try:
            distilled = await distil(
                self._in_flight[block],
                channel,
                self._part_in(block),
                self._plan,
                expected_qber,
                self._workspace,
                method=self._pace.method(expected_qber, self._waiting_pairs()),
                epsilon_authentication=block_epsilon(self._plan.pad_refill_bits),
                monitor=self._monitor,
                on_sifted=self._on_sifted,
            )
            self._pace.answered(distilled.report.key_string.answer_s)
            self._enter(block, "releasing")
            self._releases.begin(block, distilled.report)
            await self._session.release(_amplified(block, distilled, self._plan), channel)
        except BlockDiscarded as discarded:
            self._session.close_block(block)
            self._releases.discarded(block)
            whose = "the peer: " if discarded.by_peer else ""
            self._on_discarded(block, whose + discarded.cause)
        else:
            self._releases.released(block)
        del self._in_flight[block], self._stages[block]
        self._one_less.set()
        self._tell()

    def _part_in(self, block: int) -> BlockPart:
        """The bit reference's part goes to the other end in every other block.

        Correcting takes most of the work, and so both ends share it. The bound does not ask whose
        bits are taken as right.
        """
        if block % 2 == 0:
            return self._part
        return replace(self._part, bit_reference=not self._part.bit_reference)

    def _enter(self, block: int, stage: str) -> None:
        self._stages[block] = stage
        self._tell()

    def _tell(self) -> None:
        """Reports the stage of the oldest block."""
        collecting = (self._session.next_block, "collecting")
        self._on_stage(*next(iter(self._stages.items()), collecting))


def _amplified(block: int, distilled: DistilledBlock, plan: BlockPlan) -> AmplifiedBlock:
    return AmplifiedBlock(
        block=block,
        key=distilled.key,
        refill_bytes=plan.pad_refill_bits // 8,
        epsilon=distilled.report.epsilons.total,
    )

"""Block after block from matched events to released key, in step with the other end."""

import asyncio
from collections.abc import Callable

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.block import BlockPart, DistilledBlock, MatchedBlock, distil
from qkd_controller.distillation.report import BlockReport
from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.link.authentication import block_epsilon
from qkd_controller.link.channel import Discard
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.session import Session
from qkd_controller.security.leakage import LeakageMonitor
from qkd_controller.security.ledger import BlockLedger

WAITING_BLOCKS = 4

OnReleased = Callable[[int, BlockReport], None]
OnDiscarded = Callable[[int, str], None]
OnStage = Callable[[int, str], None]


class Distiller:
    """Distils the blocks of one session, one at a time, in the order in which they were cut."""

    def __init__(
        self,
        session: Session,
        part: BlockPart,
        plan: BlockPlan,
        expected_qber: Callable[[], float],
        monitor: LeakageMonitor,
        on_sifted: Callable[[int], None],
        on_stage: OnStage,
        on_released: OnReleased,
        on_discarded: OnDiscarded,
    ) -> None:
        self._session = session
        self._part = part
        self._plan = plan
        self._expected_qber = expected_qber
        self._monitor = monitor
        self._on_sifted = on_sifted
        self._on_stage = on_stage
        self._on_released = on_released
        self._on_discarded = on_discarded
        self._queue: asyncio.Queue[MatchedBlock] = asyncio.Queue(WAITING_BLOCKS)
        self._busy = False

    @property
    def idle(self) -> bool:
        """Whether a new block would be begun at once."""
        return not self._busy and self._queue.empty()

    def put(self, matched: MatchedBlock) -> None:
        """Takes a block that both ends have cut; raises ProtocolError if too many wait."""
        try:
            self._queue.put_nowait(matched)
        except asyncio.QueueFull:
            raise ProtocolError("the peer cuts blocks faster than they are distilled") from None

    async def run(self) -> None:
        """Distils until cancelled; a session that fails ends it with its LinkError."""
        while True:
            matched = await self._queue.get()
            self._busy = True
            try:
                await self._block(matched)
            finally:
                self._busy = False

    async def refuse(self, block: int, cause: str) -> None:
        """Discards a block that the peer has cut and this end cannot make."""
        channel = self._session.open_block(block, BlockLedger())
        await channel.send(Discard(block, cause))
        self._session.close_block(block)
        self._on_discarded(block, cause)

    async def _block(self, matched: MatchedBlock) -> None:
        channel = self._session.open_block(matched.block, BlockLedger())
        try:
            self._on_stage(matched.block, "distilling")
            distilled = await distil(
                matched,
                channel,
                self._part,
                self._plan,
                self._expected_qber(),
                epsilon_authentication=block_epsilon(self._plan.pad_refill_bits),
                monitor=self._monitor,
                on_sifted=self._on_sifted,
            )
            self._on_stage(matched.block, "releasing")
            await self._session.release(_amplified(matched.block, distilled, self._plan), channel)
        except BlockDiscarded as discarded:
            self._session.close_block(matched.block)
            whose = "the peer: " if discarded.by_peer else ""
            self._on_discarded(matched.block, whose + discarded.cause)
        else:
            self._on_released(matched.block, distilled.report)
        finally:
            self._on_stage(matched.block + 1, "collecting")


def _amplified(block: int, distilled: DistilledBlock, plan: BlockPlan) -> AmplifiedBlock:
    return AmplifiedBlock(
        block=block,
        key=distilled.key,
        refill_bytes=plan.pad_refill_bits // 8,
        epsilon=distilled.report.epsilons.total,
    )

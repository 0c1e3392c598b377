"""Which blocks have made key is the word of the store, whatever became of the task."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from qkd_controller.distillation.report import BlockReport
from qkd_controller.link.durable import DurableStore, finish


class Releases:
    """Reports each block of a link end once, when its release is durable, over all sessions.

    A session may end between a block's release and the word of it, or before the next session
    rolls the block forward.
    """

    def __init__(
        self, store: DurableStore, on_released: Callable[[int, BlockReport], None]
    ) -> None:
        self._store = store
        self._on_released = on_released
        self._undecided: dict[int, BlockReport] = {}

    @asynccontextmanager
    async def during_session(self) -> AsyncIterator[None]:
        """Inside, blocks are released in a session that has resumed, so no earlier one is in doubt.

        It ends once the store has told of those that were not seen through.
        """
        await self._settle()
        self._undecided.clear()
        try:
            yield
        finally:
            await finish(self._settle())

    def begin(self, block: int, report: BlockReport) -> None:
        """The block is about to be released; it counts once released() or the store says so."""
        self._undecided[block] = report

    def released(self, block: int) -> None:
        """The release is durable at this end."""
        self._on_released(block, self._undecided.pop(block))

    def discarded(self, block: int) -> None:
        """The block will not be released; of no effect unless it has begun to be."""
        self._undecided.pop(block, None)

    async def _settle(self) -> None:
        undecided = tuple(self._undecided)
        for block in await self._store.read(lambda s: [b for b in undecided if s.is_released(b)]):
            self.released(block)

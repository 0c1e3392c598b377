"""Memory that the blocks of a link use one after another, over all its sessions.

A fresh array costs a page fault every 4 KiB when it is first written, often more time than all
that is then done with it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import numpy as np

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.threads import aside
from qkd_native.bits import Words, wipe
from qkd_native.gf2x import modified_toeplitz_words

_WIPING = 16
"""So many times quicker than other work on as many bytes."""


def state_bytes(plan: BlockPlan) -> int:
    """About the memory that a block takes at each end, messages included.

    The codes, one a byte, and once they are taken apart two strings of as many bits; Cascade's
    trees, up to two bytes a bit, and its questions.
    """
    return max(plan.pairs, 5 * plan.key_bits // 2) + plan.pairs // 4


def shared_bytes(plan: BlockPlan) -> int:
    """What one block at a time needs beside, to be amplified."""
    return 8 * modified_toeplitz_words(plan.key_bits, plan.key_bits // 2)


class Workspace:
    """Lends memory, wipes what comes back, and keeps it for the next who asks.

    Of what is not lent it keeps the newest, so much that all that blocks hold stays within
    limit_bytes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._spare: list[Words] = []
        self.used_bytes = 0
        """How much blocks hold, lent or of their own."""
        self.amplifying = asyncio.Lock()
        """To be held while amplifying, which takes more memory than all other stages."""

    @property
    def spare_bytes(self) -> int:
        """How much is kept and not lent."""
        return sum(memory.nbytes for memory in self._spare)

    @asynccontextmanager
    async def lent(self, words: int) -> AsyncIterator[Words]:
        """So many words for a while, of any content at first and wiped at the end.

        Whoever borrows lets no thread work on when it leaves.
        """
        memory = self._take(words)
        try:
            yield memory[:words]
        finally:
            try:
                await aside(8 * words // _WIPING, wipe, memory[:words])
            finally:
                self._spare.append(memory)
                self._use(-memory.nbytes)

    @contextmanager
    def beside(self, size_bytes: int) -> Iterator[None]:
        """Counts what a block holds of its own."""
        self._use(size_bytes)
        try:
            yield
        finally:
            self._use(-size_bytes)

    def _take(self, words: int) -> Words:
        """The smallest that is large enough, and not twice as large."""
        fitting = [i for i, spare in enumerate(self._spare) if words <= spare.size <= 2 * words]
        if fitting:
            memory = self._spare.pop(min(fitting, key=lambda i: self._spare[i].size))
            self._use(memory.nbytes)
            return memory
        self._use(8 * words)
        return np.empty(words, np.uint64)

    def _use(self, more_bytes: int) -> None:
        """So much more is used; what is spare makes room for it, the oldest first."""
        self.used_bytes += more_bytes
        while self._spare and self.used_bytes + self.spare_bytes > self._limit_bytes:
            del self._spare[0]

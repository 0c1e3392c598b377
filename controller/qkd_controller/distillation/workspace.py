"""Memory that the blocks of a session use one after another.

A fresh array costs a page fault every 4 KiB when it is first written, often more time than all
that is then done with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

    Of what is not lent it keeps at most spare_bytes, the newest.
    """

    def __init__(self, spare_bytes: int) -> None:
        self._spare_bytes = spare_bytes
        self._spare: list[Words] = []
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
                self._put_back(memory)

    def _take(self, words: int) -> Words:
        """The smallest that is large enough, and not twice as large."""
        fitting = [i for i, spare in enumerate(self._spare) if words <= spare.size <= 2 * words]
        if not fitting:
            return np.empty(words, np.uint64)
        return self._spare.pop(min(fitting, key=lambda i: self._spare[i].size))

    def _put_back(self, memory: Words) -> None:
        self._spare.append(memory)
        while self.spare_bytes > self._spare_bytes:
            del self._spare[0]

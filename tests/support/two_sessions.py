"""Two running sessions over a memory pipe, follower and leader."""

import asyncio
import contextlib
from dataclasses import dataclass

from qkd_controller.keys.contract import AmplifiedBlock
from qkd_controller.security.ledger import BlockLedger

KEY = bytes(range(64))


@dataclass
class Ends:
    """Two running sessions; Alice follows, Bob leads."""

    stores: tuple
    pipes: tuple
    sessions: tuple
    runs: tuple

    @property
    def follower(self):
        return self.sessions[0]

    @property
    def leader(self):
        return self.sessions[1]

    def open(self, number):
        return [session.open_block(number, BlockLedger()) for session in self.sessions]

    async def release(self, number, channels=None, keys=(KEY, KEY), refill=32):
        """What release() raised at each end, or None."""
        channels = channels or self.open(number)
        blocks = [AmplifiedBlock(number, bytearray(key), refill, 1e-10) for key in keys]
        results = await asyncio.gather(
            *(s.release(b, c) for s, b, c in zip(self.sessions, blocks, channels, strict=True)),
            return_exceptions=True,
        )
        assert not any(any(block.key) for block in blocks), "key material was left behind"
        return results

    async def why(self, end):
        """Why the session of this end is over."""
        async with asyncio.timeout(5):
            await asyncio.wait([self.runs[end]])
        return self.runs[end].exception()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def connected(bench, stores, timing=None):
    pipes = bench.MemoryPipe.pair()
    opened = await asyncio.gather(
        *(
            bench.open_session(
                name, pipe, bench.DurableStore(store, bench.inline), timing=timing or bench.TIMING
            )
            for name, pipe, store in zip(("alice", "bob"), pipes, stores, strict=True)
        )
    )
    sessions = tuple(session for session, _ in opened)
    runs = tuple(asyncio.create_task(session.run()) for session in sessions)
    try:
        yield Ends(stores, pipes, sessions, runs)
    finally:
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
        for run in runs:
            run.cancelled() or run.exception()

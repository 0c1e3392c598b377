"""Two-phase commit of a block: the follower prepares, the leader releases, the follower follows.

The follower's tags leave only after its block is durably prepared, and the leader's only after its
own is durably released. The follower prepares one block after another without waiting for the
leader's word, so that a round trip costs no block its turn. Whatever is lost in between, the
leader's record decides at the next resumption. So an end never discards a block that it has
released, and a follower that is in doubt keeps its prepared blocks.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from qkd_controller.keys.contract import AmplifiedBlock, Direction, LinkStore
from qkd_controller.keys.errors import PadExhausted
from qkd_controller.link.channel import BlockChannel
from qkd_controller.link.control import Prepared, Released, Statement, Summary
from qkd_controller.link.durable import Lease, finish
from qkd_controller.link.errors import BlockDiscarded, LinkError, ProtocolError

COMMIT_PAD_BYTES = 2 * Statement.BYTES_OF_PAD
RESERVED_PAD_BYTES = 16 * Statement.BYTES_OF_PAD
"""Left untouched by commits: without it a link could not resume to learn what was released."""


class Tagging(Protocol):
    """What a commit needs of its session."""

    def pad(self, length_bytes: int) -> AbstractAsyncContextManager[tuple[int, memoryview]]:
        """Spends pad and lends it out, with its cursor; tags go out in the order of their pad."""

    async def send_commit(
        self,
        kind: type[Prepared] | type[Released],
        channel: BlockChannel,
        cursor: int,
        pad: memoryview,
    ) -> None:
        """Tags all transcripts as they are now, enters the message into the ledger, sends it."""


def ready(store: LinkStore, undecided: int) -> bool:
    """Whether the pad lasts for one more block while the leader's word on others is on its way.

    They have taken their share of this end's pad, and will take as much of the leader's.
    """
    left = min(_left(store, direction) for direction in Direction)
    return left >= (undecided + 1) * COMMIT_PAD_BYTES + RESERVED_PAD_BYTES


async def prepare(
    tagging: Tagging, store: Lease, block: AmplifiedBlock, channel: BlockChannel
) -> None:
    """The follower's first half: prepares the block and sends its tags."""
    await store.call(_check_reserve)
    await channel.send(Summary(block.block, len(block.key), block.refill_bytes))
    async with tagging.pad(COMMIT_PAD_BYTES) as (cursor, pad):
        await store.call(lambda s: s.prepare(block))
        await tagging.send_commit(Prepared, channel, cursor, pad)


async def released(channel: BlockChannel) -> None:
    """Waits for the leader's word on a prepared block; then roll it forward.

    Raises LinkError, with the block left prepared, if the leader's word does not come.
    """
    try:
        await channel.receive(Released)
    except BlockDiscarded as discarded:
        raise LinkError(
            f"block {channel.block} is prepared here and the leader says it discarded it "
            f"({discarded.cause}); its record decides when the link has resumed"
        ) from None


async def lead(
    tagging: Tagging, store: Lease, block: AmplifiedBlock, channel: BlockChannel
) -> None:
    """Waits until the follower has prepared the block and its tags are verified, then releases.

    Raises BlockDiscarded if the follower discarded the block.
    """
    await store.call(_check_reserve)
    summary = await channel.receive(Summary)
    if (summary.key_bytes, summary.refill_bytes) != (len(block.key), block.refill_bytes):
        raise ProtocolError(
            f"block {block.block} has {summary.key_bytes} key bytes at the follower, "
            f"{summary.refill_bytes} of them to refill the pad, "
            f"but {len(block.key)} and {block.refill_bytes} here"
        )
    await channel.receive(Prepared)
    # Once it is released the follower should hear of it, even if this task is being cancelled.
    await finish(_release(tagging, store, block, channel))


async def _release(
    tagging: Tagging, store: Lease, block: AmplifiedBlock, channel: BlockChannel
) -> None:
    async with tagging.pad(COMMIT_PAD_BYTES) as (cursor, pad):
        await store.call(lambda s: s.release(block))
        await tagging.send_commit(Released, channel, cursor, pad)


def _check_reserve(store: LinkStore) -> None:
    for direction in Direction:
        left = _left(store, direction)
        if left < COMMIT_PAD_BYTES + RESERVED_PAD_BYTES:
            raise PadExhausted(
                f"{left} bytes of authentication pad are left for {direction.name}, too few to "
                "release a block; pair the link anew"
            )


def _left(store: LinkStore, direction: Direction) -> int:
    return store.pad_end(direction) - store.pad_cursor(direction)

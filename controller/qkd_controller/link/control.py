"""The messages with which a session is resumed, kept alive, authenticated and committed."""

from typing import Annotated, ClassVar

import msgspec

from qkd_controller.link.message import BlockMessage, Message
from qkd_controller.security.ledger import LedgerClass

TAG_BYTES = 16

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Tag = Annotated[bytes, msgspec.Meta(min_length=TAG_BYTES, max_length=TAG_BYTES)]


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """One end's tags on both directions of a conversation, as far as it knows them."""

    BYTES_OF_PAD: ClassVar[int] = 2 * TAG_BYTES

    sent_through: Natural
    """Sequence number of the last message that it sent; 0 for none."""
    received_through: Natural
    sent_tag: Tag
    received_tag: Tag


class Resume(Message, frozen=True):
    """Where the sender's durable state stands; opens every session."""

    pad_cursors: tuple[Natural, Natural]
    pad_ends: tuple[Natural, Natural]
    highest_block: Natural
    prepared: tuple[Natural, ...]


class Verdict(Message, frozen=True):
    """From the leader: those of the follower's prepared blocks that it has released."""

    released: tuple[Natural, ...]


class Ping(Message, frozen=True):
    """Nothing but a sign of life; part of no transcript."""


class Checkpoint(Message, frozen=True):
    """Tags on the session transcript so far; part of no transcript."""

    pad_cursor: Natural
    session: Statement


class Summary(BlockMessage, frozen=True):
    """From the follower: the shape of the block that it is about to prepare."""

    key_bytes: Natural
    refill_bytes: Natural


class _Commit(BlockMessage, frozen=True):
    ledger_class = LedgerClass.MASKED

    pad_cursor: Natural
    conversation: Statement
    """On the transcripts of the block."""
    session: Statement

    def cost_bits(self) -> int:
        return 8 * 2 * Statement.BYTES_OF_PAD


class Prepared(_Commit, frozen=True):
    """From the follower: the block is durably prepared; part of no transcript."""


class Released(_Commit, frozen=True):
    """From the leader: the block is durably released; part of no transcript."""


UNTAGGED = (Ping, Checkpoint, Prepared, Released)
"""Part of no transcript: they carry tags themselves, or nothing."""

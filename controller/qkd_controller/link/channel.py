"""The only way to send or receive a message about a block: through its ledger."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_controller.link.inbox import Inbox
from qkd_controller.link.message import BlockMessage
from qkd_controller.security.ledger import BlockLedger

M = TypeVar("M", bound=BlockMessage)


class Discard(BlockMessage, frozen=True):
    """The sender has discarded the block; no tag is spent on it."""

    cause: str


class BlockChannel:
    """One block's conversation with the peer; enters each message into the ledger once."""

    def __init__(
        self,
        block: int,
        ledger: BlockLedger,
        outgoing: Callable[[BlockMessage], Awaitable[None]],
        incoming: Inbox[BlockMessage],
    ) -> None:
        self.block = block
        self.ledger = ledger
        self._outgoing = outgoing
        self._incoming = incoming

    async def send(self, message: BlockMessage) -> None:
        """Enters the message into the ledger, then sends it; raises LinkError if the link broke."""
        self.enter(message)
        await self._outgoing(message)

    async def receive(self, kind: type[M]) -> M:
        """The next message, which must be of this kind.

        Raises BlockDiscarded if the peer discarded the block, LinkError if the link broke,
        ProtocolError for any other kind.
        """
        message = await self._incoming.take()
        self.enter(message)
        if isinstance(message, Discard) and kind is not Discard:
            raise BlockDiscarded(message.cause, by_peer=True)
        if not isinstance(message, kind):
            raise ProtocolError(f"expected {kind.__name__}, the peer sent {type(message).__name__}")
        return message

    def enter(self, message: BlockMessage) -> None:
        """Enters a message that reaches the peer by another way than send()."""
        if message.block != self.block:
            raise ProtocolError(f"a message of block {message.block} in block {self.block}")
        self.ledger.enter(message.ledger_class, message.paid_by(), message.cost_bits())

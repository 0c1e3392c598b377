"""One session with the peer, from its resumption to its end: who waits for which message."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from qkd_controller.config.errors import QkdError
from qkd_controller.keys.contract import AmplifiedBlock, PairingKeys
from qkd_controller.keys.errors import StoreError
from qkd_controller.link import release, resumption
from qkd_controller.link.channel import BlockChannel, Discard
from qkd_controller.link.codec import Codec
from qkd_controller.link.control import (
    UNTAGGED,
    Checkpoint,
    Ping,
    Prepared,
    Released,
    Resume,
    Summary,
    Verdict,
)
from qkd_controller.link.dialogue import Dialogue
from qkd_controller.link.durable import Lease
from qkd_controller.link.errors import LinkError, ProtocolError
from qkd_controller.link.inbox import Inbox
from qkd_controller.link.message import BlockMessage, Message
from qkd_controller.link.terms import Agreement
from qkd_controller.link.wire import Wire
from qkd_controller.security.ledger import BlockLedger

M = TypeVar("M", bound=Message)

CONTROL_MESSAGES = (
    Resume,
    Verdict,
    Ping,
    Checkpoint,
    Summary,
    Prepared,
    Released,
    Discard,
)
_INBOX_LIMIT_BYTES = 64 * 2**20
_BLOCKS_LIMIT_BYTES = 256 * 2**20
"""Of all blocks' messages together."""
_CHECKPOINT_EVERY = 4096


@dataclass(frozen=True)
class SessionTiming:
    """How long an end waits for the other."""

    handshake_timeout_s: float = 10.0
    silence_timeout_s: float = 15.0
    """A peer that says nothing, or reads nothing, for so long is gone."""
    commit_timeout_s: float = 120.0
    """Between the two halves of a release."""


def session_codec(message_types: tuple[type[Message], ...]) -> Codec:
    """The codec of a session that carries these message types beside its own."""
    return Codec(tuple(dict.fromkeys(CONTROL_MESSAGES + message_types)))


class Session:
    """Call resume() once, then let run() run beside whatever uses the session.

    Everything raises LinkError once the session has ended, and AuthenticationError or
    PadExhausted if that is why.
    """

    def __init__(
        self,
        wire: Wire,
        agreement: Agreement,
        store: Lease,
        keys: PairingKeys,
        codec: Codec,
        timing: SessionTiming,
    ) -> None:
        self.agreement = agreement
        self._terms = agreement.terms
        self._store = store
        self._timing = timing
        self._dialogue = Dialogue(wire, agreement, store, keys, codec, timing.silence_timeout_s)
        self._inbox: Inbox[Message] = Inbox(_INBOX_LIMIT_BYTES)
        self._block_inboxes: dict[int, Inbox[BlockMessage]] = {}
        self._open: dict[int, bool] = {}
        """The blocks open here in order, and whether each is prepared."""
        self._open_changed = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def next_block(self) -> int:
        """No block of a smaller number can be opened; known once resumed."""
        return self._dialogue.next_block

    async def resume(self) -> resumption.Resumption:
        """Settles with the peer what the last session left undecided; acts on tagged words only."""
        try:
            outcome = await self._resume()
        except QkdError as error:
            self._fail(error)
            raise
        except BaseException:
            self._fail(LinkError("the session was given up"))
            raise
        self._dialogue.next_block = outcome.next_block
        return outcome

    async def run(self) -> None:
        """Receives until close() is called; raises why the session ended otherwise."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._guard(self._receive)),
                    group.create_task(self._guard(self._keep_alive)),
                ]
                await self._ended.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self._fail(LinkError("the session was given up"))
        failure = self._dialogue.failure
        if failure is not None and not isinstance(failure, _Closed):
            raise failure

    def close(self) -> None:
        """Ends the session in good order and wipes its keys; run() returns."""
        self._fail(_Closed("the session was closed"))

    async def send(self, message: Message) -> None:
        """Sends a message that belongs to no block."""
        if isinstance(message, BlockMessage):
            raise ValueError("messages about a block go through its channel")
        await self._dialogue.send(message)

    async def messages(self) -> AsyncIterator[Message]:
        """The peer's messages that belong to no block, in order; raises when the session ends."""
        while True:
            try:
                message = await self._inbox.take()
            except _Closed:
                return
            yield message

    def open_block(self, block: int, ledger: BlockLedger) -> BlockChannel:
        """Begins the conversation about a block; numbers must increase.

        Raises ProtocolError for a number that is not new.
        """
        self._dialogue.open_block(block)
        self._open[block] = False
        is_open = self._dialogue.is_open
        self._block_inboxes = {n: i for n, i in self._block_inboxes.items() if is_open(n)}
        return BlockChannel(block, ledger, self._dialogue.send, self._block_inbox(block))

    def close_block(self, block: int) -> None:
        """Forgets the conversation; what the peer still says about the block is dropped."""
        self._dialogue.close_block(block)
        self._block_inboxes.pop(block, None)
        self._open.pop(block, None)
        self._open_changed.set()

    async def release(self, block: AmplifiedBlock, channel: BlockChannel) -> None:
        """Releases the block at both ends, in the part that this end has; its key is wiped.

        It waits its turn: blocks are released in the order of their numbers, so every block
        opened before must be released or closed first. Raises BlockDiscarded if the peer
        discarded it. After any other error the session is over and the next one settles whether
        the block was released.
        """
        try:
            await self._release(block, channel)
        finally:
            block.key[:] = bytes(len(block.key))
            self.close_block(block.block)

    async def _release(self, block: AmplifiedBlock, channel: BlockChannel) -> None:
        number = block.block
        try:
            self._dialogue.check_alive()
            if number != channel.block or number not in self._open:
                raise ProtocolError(f"block {number} cannot be released: it is not open")
            await self._turn(number, prepared=not self._terms.leads)
            async with asyncio.timeout(self._timing.commit_timeout_s):
                if self._terms.leads:
                    await release.lead(self._dialogue, self._store, block, channel)
                else:
                    await self._follow(block, channel)
        except TimeoutError:
            error = LinkError(f"{self._terms.peer} did not commit block {number} in time")
            self._fail(error)
            raise error from None
        except asyncio.CancelledError:
            self._fail(LinkError(f"the release of block {number} was abandoned"))
            raise
        except (LinkError, StoreError) as error:
            self._fail(error)
            raise

    async def _follow(self, block: AmplifiedBlock, channel: BlockChannel) -> None:
        number, store = block.block, self._store
        undecided = sum(self._open.values())
        if not await store.call(lambda s: release.ready(s, undecided)):
            await self._turn(number)
        await release.prepare(self._dialogue, store, block, channel)
        self._open[number] = True
        self._open_changed.set()
        await release.released(channel)
        await self._turn(number)
        await store.call(lambda s: s.roll_forward(number))

    async def _turn(self, number: int, *, prepared: bool = False) -> None:
        """Waits until every block opened before this one is closed, or at least prepared."""
        while any(n < number and not (prepared and done) for n, done in self._open.items()):
            self._open_changed.clear()
            await self._open_changed.wait()
        self._dialogue.check_alive()

    async def _resume(self) -> resumption.Resumption:
        terms, store = self._terms, self._store
        own = await store.call(resumption.standing)
        await self.send(own)
        peer = await self._expect(Resume)
        behind = resumption.is_behind(own, peer, terms.sending)
        if terms.leads:
            verdict = await store.call(lambda s: resumption.verdict(s, own, peer))
            await self.send(verdict)
        if not behind:
            await self._dialogue.checkpoint()
        if not terms.leads:
            verdict = await self._expect(Verdict)
        await self._expect(Checkpoint)
        if behind:
            await store.call(lambda s: resumption.catch_up(s, peer, terms.sending))
            await self._dialogue.checkpoint()
        if terms.leads:
            return resumption.Resumption(resumption.next_block(own, peer))
        return await store.call(lambda s: resumption.settle(s, own, peer, verdict))

    async def _expect(self, kind: type[M]) -> M:
        message, _ = await self._dialogue.receive()
        if not isinstance(message, kind):
            raise ProtocolError(
                f"{self._terms.peer} sent {type(message).__name__} instead of {kind.__name__}"
            )
        return message

    async def _dispatch(self, message: Message, size_bytes: int) -> None:
        if isinstance(message, BlockMessage):
            if self._dialogue.is_open(message.block):
                self._block_inbox(message.block).offer(message, size_bytes)
                if sum(i.held_bytes for i in self._block_inboxes.values()) > _BLOCKS_LIMIT_BYTES:
                    raise ProtocolError("the peer sends more than this end can take in")
        elif isinstance(message, Resume | Verdict):
            raise ProtocolError(f"{self._terms.peer} sent {type(message).__name__} out of turn")
        elif not isinstance(message, UNTAGGED):
            await self._inbox.add(message, size_bytes)

    async def _receive(self) -> None:
        while True:
            message, size_bytes = await self._dialogue.receive()
            await self._dispatch(message, size_bytes)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._timing.silence_timeout_s / 3)
            if self._dialogue.since_checkpoint >= _CHECKPOINT_EVERY:
                await self._dialogue.checkpoint()
            await self._dialogue.ping()

    def _block_inbox(self, block: int) -> Inbox[BlockMessage]:
        if block not in self._block_inboxes:
            self._block_inboxes[block] = Inbox(_INBOX_LIMIT_BYTES)
        return self._block_inboxes[block]

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except QkdError as error:
            self._fail(error)

    def _fail(self, error: QkdError) -> None:
        """The first error ends the session, for everyone who waits on it."""
        if self._dialogue.failure is not None:
            return
        self._dialogue.end(error)
        self._ended.set()
        self._open.clear()
        self._open_changed.set()
        self._inbox.end(error)
        for inbox in self._block_inboxes.values():
            inbox.end(error)


class _Closed(LinkError):
    pass

"""One session with the peer: numbered, authenticated messages over one connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from qkd_controller.config.errors import QkdError
from qkd_controller.keys.contract import AmplifiedBlock, PairingKeys
from qkd_controller.keys.errors import PadExhausted, PadReused, StoreError
from qkd_controller.link import release, resumption
from qkd_controller.link.authentication import Conversation, wiped
from qkd_controller.link.channel import BlockChannel, Discard
from qkd_controller.link.codec import SESSION, Codec, Envelope
from qkd_controller.link.control import (
    UNTAGGED,
    Checkpoint,
    Ping,
    Prepared,
    Released,
    Resume,
    Statement,
    Summary,
    Verdict,
)
from qkd_controller.link.durable import Lease, finish
from qkd_controller.link.errors import AuthenticationError, LinkError, ProtocolError
from qkd_controller.link.framing import check_length
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
_CHECKPOINT_EVERY = 4096
_EARLY_BLOCKS = 4
"""So many blocks may begin at the peer before this end has opened them."""
_HASH_IN_THREAD_BYTES = 256 * 1024


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


class _Block:
    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.inbox: Inbox[BlockMessage] = Inbox(_INBOX_LIMIT_BYTES)


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
        self.next_block = 1
        """No block of a smaller number can be opened; known once resumed."""
        self._terms = agreement.terms
        self._wire = wire
        self._store = store
        self._keys = keys
        self._codec = codec
        self._timing = timing
        self._session = Conversation(agreement, keys, SESSION)
        self._blocks: dict[int, _Block] = {}
        self._inbox: Inbox[Message] = Inbox(_INBOX_LIMIT_BYTES)
        self._sent = 0
        self._received = 0
        self._since_checkpoint = 0
        self._last_released = 0
        self._sending = asyncio.Lock()
        self._receiving = asyncio.Lock()
        self._tagging = asyncio.Lock()
        self._committing = asyncio.Lock()
        self._failure: QkdError | None = None
        self._ended = asyncio.Event()

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
        self.next_block = outcome.next_block
        self._last_released = outcome.next_block - 1
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
        if self._failure is not None and not isinstance(self._failure, _Closed):
            raise self._failure

    def close(self) -> None:
        """Ends the session in good order and wipes its keys; run() returns."""
        self._fail(_Closed("the session was closed"))

    async def send(self, message: Message) -> None:
        """Sends a message that belongs to no block."""
        if isinstance(message, BlockMessage):
            raise ValueError("messages about a block go through its channel")
        await self._send(message, SESSION, self._session)

    async def messages(self) -> AsyncIterator[Message]:
        """The peer's messages that belong to no block, in order; raises when the session ends."""
        while True:
            message = await self._inbox.get()
            if isinstance(message, QkdError):
                self._inbox.put_nowait(message)
                if isinstance(message, _Closed):
                    return
                raise message
            yield message

    def open_block(self, block: int, ledger: BlockLedger) -> BlockChannel:
        """Begins the conversation about a block; numbers must increase.

        Raises ProtocolError for a number that is not new.
        """
        self._check_alive()
        if block < self.next_block:
            raise ProtocolError(f"block {block} is not new; the next is {self.next_block}")
        for early in [number for number in self._blocks if self.next_block <= number < block]:
            self.close_block(early)
        self.next_block = block + 1
        opened = self._blocks.get(block) or self._begin(block)
        return BlockChannel(block, ledger, self._send_about_block, opened.inbox)

    def close_block(self, block: int) -> None:
        """Forgets the conversation; what the peer still says about the block is dropped."""
        closed = self._blocks.pop(block, None)
        if closed is not None:
            closed.conversation.wipe()

    async def release(self, block: AmplifiedBlock, channel: BlockChannel) -> None:
        """Releases the block at both ends, in the part that this end has; its key is wiped.

        Raises BlockDiscarded if the peer discarded it. After any other error the session is
        over and the next one settles whether the block was released.
        """
        try:
            async with self._committing:
                await self._release(block, channel)
        finally:
            block.key[:] = bytes(len(block.key))
            self.close_block(block.block)

    async def _release(self, block: AmplifiedBlock, channel: BlockChannel) -> None:
        commit = release.lead if self._terms.leads else release.follow
        try:
            if block.block != channel.block or block.block <= self._last_released:
                raise ProtocolError(
                    f"block {block.block} cannot be released after block {self._last_released}"
                )
            self._last_released = block.block
            async with asyncio.timeout(self._timing.commit_timeout_s):
                await commit(self, self._store, block, channel)
        except TimeoutError:
            error = LinkError(f"{self._terms.peer} did not commit block {block.block} in time")
            self._fail(error)
            raise error from None
        except asyncio.CancelledError:
            self._fail(LinkError(f"the release of block {block.block} was abandoned"))
            raise
        except (LinkError, StoreError) as error:
            self._fail(error)
            raise

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
            await self._checkpoint()
        if not terms.leads:
            verdict = await self._expect(Verdict)
        await self._expect(Checkpoint)
        if behind:
            await store.call(lambda s: resumption.catch_up(s, peer, terms.sending))
            await self._checkpoint()
        if terms.leads:
            return resumption.Resumption(resumption.next_block(own, peer))
        return await store.call(lambda s: resumption.settle(s, own, peer, verdict))

    async def _expect(self, kind: type[M]) -> M:
        message, _ = await self._next()
        if not isinstance(message, kind):
            raise ProtocolError(
                f"{self._terms.peer} sent {type(message).__name__} instead of {kind.__name__}"
            )
        return message

    async def _next(self) -> tuple[Message, int]:
        """The next message, taken into its transcript and its tags verified, and its size."""
        payload = await self._wire.receive(self._timing.silence_timeout_s)
        envelope = self._codec.decode(payload)
        self._received += 1
        if envelope.sequence != self._received:
            raise AuthenticationError(
                f"message {envelope.sequence} of {self._terms.peer} came where {self._received} "
                "is due: messages were lost, repeated or reordered on the way"
            )
        message = envelope.message
        conversation = self._conversation(envelope.transcript)
        if conversation is None:
            return message, len(payload)
        if isinstance(message, Checkpoint):
            await self._verify(message.pad_cursor, [(self._session, message.session)])
        elif isinstance(message, Prepared | Released):
            if isinstance(message, Released) is self._terms.leads:
                raise ProtocolError(f"{self._terms.peer} sent {type(message).__name__}")
            statements = [(conversation, message.conversation), (self._session, message.session)]
            await self._verify(message.pad_cursor, statements)
        elif not isinstance(message, UNTAGGED):
            async with self._receiving:
                await _hashed(conversation.absorb_received, envelope.sequence, payload)
            self._since_checkpoint += conversation is self._session
        return message, len(payload)

    async def _dispatch(self, message: Message, size_bytes: int) -> None:
        if isinstance(message, BlockMessage):
            block = self._blocks.get(message.block)
            if block is not None:
                block.inbox.offer(message, size_bytes)
        elif isinstance(message, Resume | Verdict):
            raise ProtocolError(f"{self._terms.peer} sent {type(message).__name__} out of turn")
        elif not isinstance(message, UNTAGGED):
            await self._inbox.add(message, size_bytes)

    async def _verify(self, cursor: int, statements: list[tuple[Conversation, Statement]]) -> None:
        """Checks the peer's tags, and only then spends their pad and what lies before it."""
        peer, direction = self._terms.peer, self._terms.receiving
        length = len(statements) * Statement.BYTES_OF_PAD
        try:
            pad = await self._store.call(lambda s: s.read_pad(direction, cursor, length))
        except PadReused:
            raise AuthenticationError(
                f"a tag of {peer} uses pad that is spent: it is a replay"
            ) from None
        except PadExhausted:
            raise AuthenticationError(
                f"a tag of {peer} stands on pad that was never provided here: it is forged, or "
                "the two stores do not belong together; if it comes again, pair the link anew"
            ) from None
        with wiped(pad) as view:
            self._check_alive()
            if any(conversation.over for conversation, _ in statements):
                return  # The block was closed meanwhile: as if its tags had come later.
            for place, (conversation, statement) in enumerate(statements):
                start = place * Statement.BYTES_OF_PAD
                conversation.verify(statement, view[start : start + Statement.BYTES_OF_PAD])
        await self._store.call(lambda s: s.move_pad_cursor(direction, cursor + length))

    @asynccontextmanager
    async def pad(self, length_bytes: int) -> AsyncIterator[tuple[int, memoryview]]:
        """Spends own pad and lends it out with its cursor; see release.Tagging."""
        async with self._tagging:
            cursor, pad = await self._store.call(
                lambda s: s.take_pad(self._terms.sending, length_bytes)
            )
            with wiped(pad) as view:
                yield cursor, view

    async def send_commit(
        self,
        kind: type[Prepared] | type[Released],
        channel: BlockChannel,
        cursor: int,
        pad: memoryview,
    ) -> None:
        """Tags block and session as they are now; see release.Tagging."""
        block = channel.block
        conversation = self._conversation(block)
        if conversation is None:
            raise LinkError(f"block {block} was closed while it was being released")
        half = Statement.BYTES_OF_PAD

        def tagged() -> Prepared | Released:
            on_block, on_session = conversation.state(pad[:half]), self._session.state(pad[half:])
            message = kind(block, cursor, on_block, on_session)
            channel.enter(message)
            return message

        await self._send_tagged(tagged, block)

    async def _checkpoint(self) -> None:
        self._since_checkpoint = 0
        async with self.pad(Statement.BYTES_OF_PAD) as (cursor, pad):
            await self._send_tagged(lambda: Checkpoint(cursor, self._session.state(pad)), SESSION)

    async def _send_tagged(self, build: Callable[[], Message], transcript: int) -> None:
        # Nothing may be sent or received between reading the hashes and sending the tags.
        async with self._sending, self._receiving:
            message = build()
            self._wire.write(self._numbered(message, transcript))
        await self._wire.drain(self._timing.silence_timeout_s)

    async def _send_about_block(self, message: BlockMessage) -> None:
        block = self._blocks.get(message.block)
        if block is None:
            self._check_alive()
            raise ProtocolError(f"block {message.block} is closed")
        await self._send(message, message.block, block.conversation)

    async def _send(self, message: Message, transcript: int, conversation: Conversation) -> None:
        async with self._sending:
            payload = self._numbered(message, transcript)
            try:
                await _hashed(conversation.absorb_sent, self._sent, payload)
            finally:
                self._wire.write(payload)
        self._since_checkpoint += conversation is self._session
        await self._wire.drain(self._timing.silence_timeout_s)

    def _numbered(self, message: Message, transcript: int) -> bytes:
        self._check_alive()
        payload = self._codec.encode(Envelope(self._sent + 1, transcript, message))
        check_length(len(payload))
        self._sent += 1
        return payload

    async def _receive(self) -> None:
        while True:
            message, size_bytes = await self._next()
            await self._dispatch(message, size_bytes)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._timing.silence_timeout_s / 3)
            if self._since_checkpoint >= _CHECKPOINT_EVERY:
                await self._checkpoint()
            await self._send_tagged(Ping, SESSION)

    def _conversation(self, transcript: int) -> Conversation | None:
        """The conversation of this number, or None for a block that is over."""
        if transcript == SESSION:
            return self._session
        if transcript in self._blocks:
            return self._blocks[transcript].conversation
        if transcript < self.next_block:
            return None
        if transcript >= self.next_block + _EARLY_BLOCKS:
            raise ProtocolError(f"{self._terms.peer} speaks of block {transcript}, far too early")
        return self._begin(transcript).conversation

    def _begin(self, number: int) -> _Block:
        self._check_alive()
        block = _Block(Conversation(self.agreement, self._keys, number))
        self._blocks[number] = block
        return block

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise LinkError(f"the session has ended: {self._failure}")

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except QkdError as error:
            self._fail(error)

    def _fail(self, error: QkdError) -> None:
        """The first error ends the session, for everyone who waits on it."""
        if self._failure is not None:
            return
        self._failure = error
        self._session.wipe()
        for block in self._blocks.values():
            block.conversation.wipe()
        self._ended.set()
        self._wire.close()
        self._inbox.put_nowait(error)
        for block in self._blocks.values():
            block.inbox.put_nowait(error)


class _Closed(LinkError):
    pass


async def _hashed(absorb: Callable[[int, bytes], None], sequence: int, payload: bytes) -> None:
    if len(payload) < _HASH_IN_THREAD_BYTES:
        absorb(sequence, payload)
    else:
        await finish(asyncio.to_thread(absorb, sequence, payload))

"""Numbered messages, their transcripts and their tags, in both directions of one connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from qkd_controller.config.errors import QkdError
from qkd_controller.keys.contract import PairingKeys
from qkd_controller.keys.errors import PadExhausted, PadReused
from qkd_controller.link.authentication import Conversation, wiped
from qkd_controller.link.channel import BlockChannel
from qkd_controller.link.codec import SESSION, Codec, Envelope
from qkd_controller.link.control import (
    UNTAGGED,
    Checkpoint,
    Ping,
    Prepared,
    Released,
    Statement,
)
from qkd_controller.link.durable import Lease
from qkd_controller.link.errors import AuthenticationError, LinkError, ProtocolError
from qkd_controller.link.framing import check_length
from qkd_controller.link.message import BlockMessage, Message
from qkd_controller.link.terms import Agreement
from qkd_controller.link.wire import Wire

MOST_BLOCKS = 64
"""So many blocks may begin at the peer before this end has opened them: those of its window."""


class Dialogue:
    """What two ends say in one session; the Tagging of its commits.

    Every method raises LinkError once it has ended.
    """

    def __init__(
        self,
        wire: Wire,
        agreement: Agreement,
        store: Lease,
        keys: PairingKeys,
        codec: Codec,
        silence_timeout_s: float,
    ) -> None:
        self.next_block = 1
        """No block of a smaller number can be opened."""
        self.since_checkpoint = 0
        """Messages of the session transcript since this end last tagged it alone."""
        self.failure: QkdError | None = None
        """Why it has ended, if it has."""
        self._terms = agreement.terms
        self._agreement = agreement
        self._wire = wire
        self._store = store
        self._keys = keys
        self._codec = codec
        self._silence_timeout_s = silence_timeout_s
        self._session = Conversation(agreement, keys, SESSION)
        self._blocks: dict[int, Conversation] = {}
        self._sent = 0
        self._received = 0
        self._tagging = asyncio.Lock()

    def open_block(self, number: int) -> None:
        """Begins the conversation about a block; earlier ones that only the peer began are over.

        Raises ProtocolError for a number that is not new.
        """
        self.check_alive()
        if number < self.next_block:
            raise ProtocolError(f"block {number} is not new; the next is {self.next_block}")
        for early in [n for n in self._blocks if self.next_block <= n < number]:
            self.close_block(early)
        self.next_block = number + 1
        if number not in self._blocks:
            self._begin(number)

    def close_block(self, number: int) -> None:
        """Ends the conversation about a block; unknown numbers have no effect."""
        closed = self._blocks.pop(number, None)
        if closed is not None:
            closed.wipe()

    def is_open(self, number: int) -> bool:
        """Whether either end has begun the block and this end has not closed it."""
        return number in self._blocks

    async def send(self, message: Message) -> None:
        """Sends a message that carries no tags, in the transcript it belongs to."""
        transcript = message.block if isinstance(message, BlockMessage) else SESSION
        conversation = self._session if transcript == SESSION else self._blocks.get(transcript)
        if conversation is None:
            self.check_alive()
            raise ProtocolError(f"block {transcript} is closed")
        payload = self._numbered(message, transcript)
        try:
            conversation.absorb_sent(self._sent, payload)
        finally:
            self._wire.write(payload)
        self.since_checkpoint += conversation is self._session
        if not self._wire.idle():
            await self._wire.drain(self._silence_timeout_s)

    async def receive(self) -> tuple[Message, int]:
        """The next message, taken into its transcript and its tags verified, and its size."""
        payload = await self._wire.receive(self._silence_timeout_s)
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
            conversation.absorb_received(envelope.sequence, payload)
            self.since_checkpoint += conversation is self._session
        return message, len(payload)

    async def ping(self) -> None:
        """Sends a sign of life."""
        await self._send_tagged(Ping, SESSION)

    async def checkpoint(self) -> None:
        """Tags the session transcript as it is now."""
        self.since_checkpoint = 0
        async with self.pad(Statement.BYTES_OF_PAD) as (cursor, pad):
            await self._send_tagged(lambda: Checkpoint(cursor, self._session.state(pad)), SESSION)

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

    def check_alive(self) -> None:
        """Raises LinkError once the dialogue has ended."""
        if self.failure is not None:
            raise LinkError(f"the session has ended: {self.failure}")

    def end(self, error: QkdError) -> None:
        """Ends it for this reason: closes the connection, wipes every key and hash."""
        self.failure = error
        self._session.wipe()
        for conversation in self._blocks.values():
            conversation.wipe()
        self._wire.close()

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
            self.check_alive()
            if any(conversation.over for conversation, _ in statements):
                return  # The block was closed meanwhile: as if its tags had come later.
            for place, (conversation, statement) in enumerate(statements):
                start = place * Statement.BYTES_OF_PAD
                conversation.verify(statement, view[start : start + Statement.BYTES_OF_PAD])
        await self._store.call(lambda s: s.move_pad_cursor(direction, cursor + length))

    async def _send_tagged(self, build: Callable[[], Message], transcript: int) -> None:
        # Nothing is sent or received between reading the hashes and sending the tags.
        self._wire.write(self._numbered(build(), transcript))
        await self._wire.drain(self._silence_timeout_s)

    def _numbered(self, message: Message, transcript: int) -> bytes:
        self.check_alive()
        payload = self._codec.encode(Envelope(self._sent + 1, transcript, message))
        check_length(len(payload))
        self._sent += 1
        return payload

    def _conversation(self, transcript: int) -> Conversation | None:
        """The conversation of this number, or None for a block that is over."""
        if transcript == SESSION:
            return self._session
        if transcript in self._blocks:
            return self._blocks[transcript]
        if transcript < self.next_block:
            return None
        if transcript >= self.next_block + MOST_BLOCKS:
            raise ProtocolError(f"{self._terms.peer} speaks of block {transcript}, far too early")
        return self._begin(transcript)

    def _begin(self, number: int) -> Conversation:
        self.check_alive()
        conversation = Conversation(self._agreement, self._keys, number)
        self._blocks[number] = conversation
        return conversation

"""Wegman–Carter authentication of what two ends have said to each other.

A transcript is everything that one end sent in one conversation (the session, or one block), in
sequence order, behind a header that names the tagging end, the direction and the whole agreement.
A tag is its polynomial hash under the tagging end's lasting hash key, masked with 16 fresh bytes
of that end's pad. M. Wegman and L. Carter, J. Comput. Syst. Sci. 22, 265 (1981), section 4: as
long as no pad byte is used twice, tags tell nothing of the hash key, and each forgery succeeds
with at most the collision probability of the hash.

Each end tags both what it sent and what it received. So a leader knows before it commits that the
follower received the leader's messages unaltered.
"""

import hmac
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from qkd_controller.keys.contract import Direction, PairingKeys
from qkd_controller.link.control import TAG_BYTES, Statement
from qkd_controller.link.errors import AuthenticationError, LinkError
from qkd_controller.link.framing import Payload
from qkd_controller.link.terms import Agreement
from qkd_native.mac import PolyHash, collision_bound

MAX_TRANSCRIPT_BYTES = 2**40
MAX_UNVERIFIED_MESSAGES = 2**16
REFUSED_TAGS = 2**24
"""Forgeries allowed for a block. A tag that is refused spends no pad, but costs its forger a
session: at the shortest pause between two sessions, so many take over three months."""
_LENGTH_BYTES = 8
_BATCH_BYTES = 64 * 1024
"""Hashed at once: messages are short, and a call costs as much as hashing several of them."""
_UNHASHED_BYTES = 4 * 2**20
"""Of messages sent that may wait for the peer's tag to say up to which of them it vouches; beyond
it each costs a digest. About what a block of 2^24 pairs sends."""


def authentication_epsilon(tags: int) -> float:
    """Probability that any of so many verified tags is a forgery.

    Charged to each block with the number of tags that its refill pays for, it covers every tag
    that will ever be accepted but those paid by the provisioned pad.
    """
    return tags * collision_bound(MAX_TRANSCRIPT_BYTES)


def block_epsilon(pad_refill_bits: int) -> float:
    """The share of ε_auth of one block: its own commit, or all that it refills, and forgeries."""
    commit = 2 * 2 * Statement.BYTES_OF_PAD
    accepted = max(commit, pad_refill_bits // 8) // TAG_BYTES
    return authentication_epsilon(accepted + REFUSED_TAGS)


class Conversation:
    """Both transcripts of the session or of one block, as one end knows them."""

    def __init__(self, agreement: Agreement, keys: PairingKeys, block: int) -> None:
        own, peer = agreement.terms.sending, agreement.terms.receiving
        self._peer = agreement.terms.peer
        self._own_on_sent = _opened(agreement, keys, (own,), own, block)
        self._peer_on_sent = _opened(agreement, keys, (peer,), own, block)
        self._on_received = _opened(agreement, keys, (own, peer), peer, block)
        self._sent_through = 0
        self._received_through = 0
        self._bytes = 0
        self._sent_digests = deque([(0, bytearray(self._peer_on_sent.digest()))])
        """What the peer's tag may vouch for: it may not yet have received all that was sent."""
        self._unhashed: deque[tuple[int, bytes]] = deque()
        """Sent after the last of these digests."""
        self._unhashed_bytes = 0
        self._over = False

    @property
    def over(self) -> bool:
        """Whether wipe() was called: nothing is absorbed, tagged or verified any more."""
        return self._over

    @property
    def unverified_messages(self) -> int:
        """Messages sent since the last one that the peer is known to have received unaltered."""
        return len(self._sent_digests) - 1 + len(self._unhashed)

    def absorb_sent(self, sequence: int, payload: bytes) -> None:
        """Takes one encoded envelope into the transcript; raises LinkError if it gets too long."""
        self._count(payload)
        if self._over:
            return
        self._own_on_sent.add(payload)
        self._sent_through = sequence
        self._unhashed.append((sequence, payload))
        self._unhashed_bytes += len(payload)
        while self._unhashed_bytes > _UNHASHED_BYTES:
            oldest = self._hash_next()
            self._sent_digests.append((oldest, bytearray(self._peer_on_sent.digest())))
        if len(self._sent_digests) + len(self._unhashed) > MAX_UNVERIFIED_MESSAGES + 1:
            raise LinkError(f"{self._peer} has authenticated nothing for too many messages")

    def absorb_received(self, sequence: int, payload: Payload) -> None:
        """Takes one encoded envelope into the transcript; raises LinkError if it gets too long."""
        self._count(payload)
        if self._over:
            return
        self._on_received.add(payload)
        self._received_through = sequence

    def state(self, pad: bytes | bytearray | memoryview) -> Statement:
        """This end's tags on both transcripts, masked with Statement.BYTES_OF_PAD of its pad.

        Raises LinkError if the conversation is over.
        """
        self._check_not_over()
        return Statement(
            self._sent_through,
            self._received_through,
            _masked(self._own_on_sent.digest(), pad[:TAG_BYTES]),
            _masked(self._on_received.digest(_OWN), pad[TAG_BYTES:]),
        )

    def verify(self, statement: Statement, pad: bytes | bytearray | memoryview) -> None:
        """Raises AuthenticationError unless the peer sent and received what this end knows.

        The statement must cover every message received so far. Raises LinkError if the
        conversation is over.
        """
        self._check_not_over()
        sequence, digest = self._vouched_for(statement.received_through)
        expected = _masked(self._on_received.digest(_PEERS), pad[:TAG_BYTES]) + _masked(
            digest, pad[TAG_BYTES:]
        )
        genuine = hmac.compare_digest(expected, statement.sent_tag + statement.received_tag)
        if (
            not genuine
            or sequence != statement.received_through
            or self._received_through != statement.sent_through
        ):
            raise AuthenticationError(
                f"a tag of {self._peer} does not fit the messages exchanged with it: "
                "they were altered on the way, or the pairing secrets differ"
            )

    def wipe(self) -> None:
        """Overwrites hash keys and digests.

        The digests are secret: known messages and their unmasked hash betray the hash key.
        """
        self._over = True
        for transcript in (self._own_on_sent, self._peer_on_sent, self._on_received):
            transcript.wipe()
        for _, digest in self._sent_digests:
            digest[:] = bytes(TAG_BYTES)
        self._unhashed.clear()

    def _vouched_for(self, received_through: int) -> tuple[int, bytearray]:
        """The digest up to this message or, if none was sent with its number, the next one."""
        digests = self._sent_digests
        while digests[0][0] < received_through and (len(digests) > 1 or self._unhashed):
            if len(digests) == 1:
                sequence = 0
                while self._unhashed and sequence < received_through:
                    sequence = self._hash_next()
                digests.append((sequence, bytearray(self._peer_on_sent.digest())))
            _, passed = digests.popleft()
            passed[:] = bytes(TAG_BYTES)
        return digests[0]

    def _hash_next(self) -> int:
        """Takes the oldest of the messages sent into the peer's transcript."""
        sequence, payload = self._unhashed.popleft()
        self._unhashed_bytes -= len(payload)
        self._peer_on_sent.add(payload)
        return sequence

    def _check_not_over(self) -> None:
        if self._over:
            raise LinkError(f"the conversation with {self._peer} is over")

    def _count(self, payload: Payload) -> None:
        self._bytes += _LENGTH_BYTES + len(payload)
        # Half of it, so that headers and lengths are covered many times over.
        if self._bytes > MAX_TRANSCRIPT_BYTES // 2:
            raise LinkError("the session has grown too long to be authenticated; starting anew")


@contextmanager
def wiped(secret: bytearray) -> Iterator[memoryview]:
    """Lends out a secret and overwrites it afterwards."""
    try:
        yield memoryview(secret)
    finally:
        secret[:] = bytes(len(secret))


class _Transcript:
    """The hash of messages in order, each behind its length; short ones wait for more of them.

    There may be several: of the same messages behind different headers, under different keys.
    """

    def __init__(self, *openings: tuple[bytes, bytes]) -> None:
        """The key and the header of each hash."""
        self._hashes = [PolyHash(key) for key, _ in openings]
        for each, (_, header) in zip(self._hashes, openings, strict=True):
            each.update(_length(header) + header)
        self._waiting: list[Payload] = []
        self._waiting_bytes = 0

    def add(self, payload: Payload) -> None:
        """Takes the next message."""
        length = len(payload)
        self._waiting.append(_length(payload))
        if length < _BATCH_BYTES:
            self._waiting.append(payload)
        self._waiting_bytes += length
        if self._waiting_bytes < _BATCH_BYTES:
            return
        self._hash_waiting()
        if length >= _BATCH_BYTES:
            for each in self._hashes:
                each.update(payload)

    def digest(self, which: int = 0) -> bytes:
        """The hash of all messages so far."""
        self._hash_waiting()
        return self._hashes[which].digest()

    def wipe(self) -> None:
        """Overwrites keys and states; the object is of no use afterwards."""
        self._waiting.clear()
        for each in self._hashes:
            each.wipe()

    def _hash_waiting(self) -> None:
        waiting = b"".join(self._waiting)
        for each in self._hashes:
            each.update(waiting)
        self._waiting.clear()
        self._waiting_bytes = 0


_OWN, _PEERS = 0, 1
"""The hashes of what was received."""


def _length(payload: Payload) -> bytes:
    return len(payload).to_bytes(_LENGTH_BYTES, "big")


def _opened(
    agreement: Agreement,
    keys: PairingKeys,
    taggers: tuple[Direction, ...],
    sender: Direction,
    block: int,
) -> _Transcript:
    return _Transcript(
        *(
            (
                keys.hash_keys[tagger],
                agreement.context("qkdlink transcript", tagger.name, sender.name, block),
            )
            for tagger in taggers
        )
    )


def _masked(digest: bytes | bytearray, pad: bytes | bytearray | memoryview) -> bytes:
    if len(pad) != TAG_BYTES:
        raise ValueError(f"a tag takes {TAG_BYTES} bytes of pad, not {len(pad)}")
    mixed = int.from_bytes(digest, "little") ^ int.from_bytes(pad, "little")
    return mixed.to_bytes(TAG_BYTES, "little")

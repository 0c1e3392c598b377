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
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from qkd_controller.keys.contract import Direction, PairingKeys
from qkd_controller.link.control import TAG_BYTES, Statement
from qkd_controller.link.errors import AuthenticationError, LinkError
from qkd_controller.link.terms import Agreement
from qkd_native.mac import PolyHash, collision_bound

MAX_TRANSCRIPT_BYTES = 2**40
MAX_UNVERIFIED_MESSAGES = 2**16
REFUSED_TAGS = 2**24
"""Forgeries allowed for a block. A tag that is refused spends no pad, but costs its forger a
session: at the shortest pause between two sessions, so many take over three months."""
_LENGTH_BYTES = 8
_SHORT_BYTES = 4096


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
    """Both transcripts of the session or of one block, as one end knows them.

    Messages may be absorbed in threads, one at a time each direction.
    """

    def __init__(self, agreement: Agreement, keys: PairingKeys, block: int) -> None:
        own, peer = agreement.terms.sending, agreement.terms.receiving
        self._peer = agreement.terms.peer
        self._own_on_sent = _opened(agreement, keys, own, own, block)
        self._own_on_received = _opened(agreement, keys, own, peer, block)
        self._peer_on_sent = _opened(agreement, keys, peer, own, block)
        self._peer_on_received = _opened(agreement, keys, peer, peer, block)
        self._sent_through = 0
        self._received_through = 0
        self._bytes = 0
        self._sent_digests = deque([(0, bytearray(self._peer_on_sent.digest()))])
        """What the peer's tag may vouch for: it may not yet have received all that was sent."""
        self._ending = threading.Lock()
        self._absorbing = 0
        self._over = False

    @property
    def over(self) -> bool:
        """Whether wipe() was called: nothing is absorbed, tagged or verified any more."""
        return self._over

    @property
    def unverified_messages(self) -> int:
        """Messages sent since the last one that the peer is known to have received unaltered."""
        return len(self._sent_digests) - 1

    def absorb_sent(self, sequence: int, payload: bytes) -> None:
        """Takes one encoded envelope into the transcript; raises LinkError if it gets too long."""
        self._count(payload)
        with self._unwiped() as alive:
            if not alive:
                return
            _absorb(payload, self._own_on_sent, self._peer_on_sent)
            self._sent_through = sequence
            self._sent_digests.append((sequence, bytearray(self._peer_on_sent.digest())))
        if self.unverified_messages > MAX_UNVERIFIED_MESSAGES:
            raise LinkError(f"{self._peer} has authenticated nothing for too many messages")

    def absorb_received(self, sequence: int, payload: bytes) -> None:
        """Takes one encoded envelope into the transcript; raises LinkError if it gets too long."""
        self._count(payload)
        with self._unwiped() as alive:
            if not alive:
                return
            _absorb(payload, self._own_on_received, self._peer_on_received)
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
            _masked(self._own_on_received.digest(), pad[TAG_BYTES:]),
        )

    def verify(self, statement: Statement, pad: bytes | bytearray | memoryview) -> None:
        """Raises AuthenticationError unless the peer sent and received what this end knows.

        The statement must cover every message received so far. Raises LinkError if the
        conversation is over.
        """
        self._check_not_over()
        while len(self._sent_digests) > 1 and (
            self._sent_digests[0][0] < statement.received_through
        ):
            _, vouched_for = self._sent_digests.popleft()
            vouched_for[:] = bytes(TAG_BYTES)
        sequence, digest = self._sent_digests[0]
        expected = _masked(self._peer_on_received.digest(), pad[:TAG_BYTES]) + _masked(
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
        """Overwrites hash keys and digests; a thread that absorbs now does it when it is done.

        The digests are secret: known messages and their unmasked hash betray the hash key.
        """
        with self._ending:
            self._over = True
            self._overwrite_if_idle()

    @contextmanager
    def _unwiped(self) -> Iterator[bool]:
        """Puts off wiping; lends out whether it is too late for that."""
        with self._ending:
            self._absorbing += 1
            alive = not self._over
        try:
            yield alive
        finally:
            with self._ending:
                self._absorbing -= 1
                self._overwrite_if_idle()

    def _overwrite_if_idle(self) -> None:
        if self._absorbing or not self._over:
            return
        for transcript in (
            self._own_on_sent,
            self._own_on_received,
            self._peer_on_sent,
            self._peer_on_received,
        ):
            transcript.wipe()
        for _, digest in self._sent_digests:
            digest[:] = bytes(TAG_BYTES)

    def _check_not_over(self) -> None:
        if self._over:
            raise LinkError(f"the conversation with {self._peer} is over")

    def _count(self, payload: bytes) -> None:
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


def _opened(
    agreement: Agreement, keys: PairingKeys, tagger: Direction, sender: Direction, block: int
) -> PolyHash:
    transcript = PolyHash(keys.hash_keys[tagger])
    header = agreement.context("qkdlink transcript", tagger.name, sender.name, block)
    _absorb(header, transcript)
    return transcript


def _absorb(payload: bytes, *transcripts: PolyHash) -> None:
    length = len(payload).to_bytes(_LENGTH_BYTES, "big")
    # A short message is copied once rather than hashed in two pieces by each.
    pieces = (length + payload,) if len(payload) < _SHORT_BYTES else (length, payload)
    for transcript in transcripts:
        for piece in pieces:
            transcript.update(piece)


def _masked(digest: bytes | bytearray, pad: bytes | bytearray | memoryview) -> bytes:
    if len(pad) != TAG_BYTES:
        raise ValueError(f"a tag takes {TAG_BYTES} bytes of pad, not {len(pad)}")
    mixed = int.from_bytes(digest, "little") ^ int.from_bytes(pad, "little")
    return mixed.to_bytes(TAG_BYTES, "little")

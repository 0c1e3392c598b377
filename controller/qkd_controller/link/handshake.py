"""The greeting of two ends: every difference is found and named before anything else is said.

Sans-I/O. Each end sends a Hello at once, answers the peer's Hello with a Proof that it holds the
same pairing secret, and is done once it has the peer's. Instead of either it may refuse.
"""

import hmac
import secrets

import msgspec

from qkd_controller.link.errors import AuthenticationError, LinkError, ProtocolError
from qkd_controller.link.framing import Payload
from qkd_controller.link.terms import Agreement, LinkTerms

MAX_HANDSHAKE_BYTES = 64 * 1024
_NONCE_BYTES = 32
_REASON_LIMIT = 500


class RefusedByPeer(LinkError):
    """The peer will not go on; its reason is in the message."""


class _Greeting(msgspec.Struct, frozen=True, tag=True, array_like=True):
    pass


class Hello(_Greeting, frozen=True):
    """Who speaks, to whom, under what terms.

    These fields keep their places in every version, so that versions can be compared.
    """

    version: int
    sender: str
    receiver: str
    link_digest: bytes
    field_digests: dict[str, bytes]
    nonce: bytes


class Proof(_Greeting, frozen=True):
    """HMAC-SHA256 under the check key of the pairing secret over the agreement and the sender."""

    check: bytes


class Refused(_Greeting, frozen=True):
    """The sender will not go on, and why."""

    reason: str


_DECODER = msgspec.msgpack.Decoder(Hello | Proof | Refused)


class Handshake:
    """One end's side of one greeting."""

    def __init__(self, terms: LinkTerms, check_key: bytes) -> None:
        self._terms = terms
        self._check_key = check_key
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._proposed: Agreement | None = None
        self.agreement: Agreement | None = None
        """Set once both ends have proved themselves."""

    def hello(self) -> bytes:
        """The first payload to send."""
        terms = self._terms
        return msgspec.msgpack.encode(
            Hello(
                terms.version,
                terms.own,
                terms.peer,
                terms.link_digest,
                terms.field_digests,
                self._nonce,
            )
        )

    def receive(self, payload: Payload) -> bytes | None:
        """Takes the peer's next payload and returns the answer, if there is one to send.

        Raises LinkError naming the one thing that is wrong, AuthenticationError for a wrong
        identity or pairing secret, RefusedByPeer if the peer found something wrong, ProtocolError
        for anything that is no greeting.
        """
        try:
            greeting = _DECODER.decode(payload)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            raise ProtocolError("the peer does not speak the language of this link") from None
        if isinstance(greeting, Refused):
            reason = _printable(greeting.reason)
            raise RefusedByPeer(f"{self._terms.peer} refused the link: {reason}")
        if isinstance(greeting, Hello) and self._proposed is None:
            self._proposed = self._agree(greeting)
            return msgspec.msgpack.encode(Proof(self._check(self._proposed, self._terms.own)))
        if isinstance(greeting, Proof) and self._proposed is not None and self.agreement is None:
            if not hmac.compare_digest(
                greeting.check, self._check(self._proposed, self._terms.peer)
            ):
                raise AuthenticationError(
                    f"{self._terms.peer} holds another pairing secret; import the same one at both"
                )
            self.agreement = self._proposed
            return None
        raise ProtocolError(f"{self._terms.peer} sent {type(greeting).__name__} out of turn")

    def _agree(self, hello: Hello) -> Agreement:
        terms = self._terms
        if hello.version != terms.version:
            raise LinkError(
                f"{terms.peer} speaks protocol version {hello.version}, this end {terms.version}; "
                "install the same release at both"
            )
        if hello.sender != terms.peer:
            raise AuthenticationError(
                f"the peer calls itself {_printable(hello.sender)}, not {terms.peer}"
            )
        if hello.receiver != terms.own:
            raise AuthenticationError(
                f"{terms.peer} is looking for {_printable(hello.receiver)}, not {terms.own}"
            )
        if hello.link_digest != terms.link_digest:
            raise LinkError(f"the link files differ in {self._differing(hello.field_digests)}")
        if len(hello.nonce) != _NONCE_BYTES or hello.nonce == self._nonce:
            raise ProtocolError(f"{terms.peer} sent no fresh nonce")
        nonces = (self._nonce, hello.nonce) if terms.leads else (hello.nonce, self._nonce)
        return Agreement(terms, b"".join(nonces))

    def _differing(self, peers: dict[str, bytes]) -> str:
        own = self._terms.field_digests
        names = sorted(name for name in own | peers if own.get(name) != peers.get(name))
        return _printable(", ".join(names)) or "an unnamed field"

    def _check(self, agreement: Agreement, sender: str) -> bytes:
        context = agreement.context("qkdlink pairing check", sender)
        return hmac.digest(self._check_key, context, "sha256")


def refusal(reason: str) -> bytes:
    """The payload that tells the peer why this end will not go on."""
    return msgspec.msgpack.encode(Refused(reason))


def is_refusal(payload: Payload) -> bool:
    """Whether the payload is a refusal."""
    try:
        return isinstance(_DECODER.decode(payload), Refused)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return False


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_REASON_LIMIT])

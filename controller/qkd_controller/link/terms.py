"""What two ends have agreed on before they speak: names, roles, the link file's digest."""

import math
from dataclasses import dataclass, field

import msgspec

from qkd_controller.config.digest import field_digests, link_digest
from qkd_controller.config.errors import ConfigError
from qkd_controller.config.link import LinkFile, Roles
from qkd_controller.keys.contract import Direction

PROTOCOL_VERSION = 4


@dataclass(frozen=True)
class LinkTerms:
    """One end's view of the link: who it is, who the peer must be, what the link file says."""

    own: str
    peer: str
    roles: Roles
    link_digest: bytes
    field_digests: dict[str, bytes]
    version: int = PROTOCOL_VERSION

    @classmethod
    def of(cls, link: LinkFile, own: str) -> "LinkTerms":
        """The terms of node `own`; raises ConfigError if it is not an end of the link."""
        if own not in link.nodes:
            raise ConfigError([f"node {own} is not an end of link {link.name} ({link.nodes})"])
        peer = link.nodes[1] if own == link.nodes[0] else link.nodes[0]
        return cls(own, peer, link.roles, link_digest(link), field_digests(link))

    @property
    def leads(self) -> bool:
        """Whether this end's record decides which blocks are released."""
        return self.own == self.roles.commit_leader

    @property
    def sending(self) -> Direction:
        """The direction in which this end sends."""
        return Direction.LEADER_TO_FOLLOWER if self.leads else Direction.FOLLOWER_TO_LEADER

    @property
    def receiving(self) -> Direction:
        """The direction in which this end receives."""
        return Direction.FOLLOWER_TO_LEADER if self.leads else Direction.LEADER_TO_FOLLOWER


@dataclass(frozen=True)
class Agreement:
    """The terms of one session, equal at both ends but for who is `own`."""

    terms: LinkTerms
    session_nonce: bytes
    """The leader's nonce, then the follower's."""
    round_trip_s: float = field(default=math.inf, compare=False)
    """How quickly the peer answered the greeting, if that was measured here."""

    def context(self, label: str, *details: int | str) -> bytes:
        """An unambiguous encoding of the whole agreement, under a domain label."""
        terms = self.terms
        leader, follower = (terms.own, terms.peer) if terms.leads else (terms.peer, terms.own)
        return msgspec.msgpack.encode(
            [
                label,
                terms.version,
                leader,
                follower,
                msgspec.structs.astuple(terms.roles),
                terms.link_digest,
                self.session_nonce,
                details,
            ]
        )

"""Where two ends stand after a crash, and what the leader's record decides. Pure of I/O."""

from dataclasses import dataclass

from qkd_controller.keys.contract import Direction, LinkStore
from qkd_controller.link.control import Resume, Verdict
from qkd_controller.link.errors import LinkError, ProtocolError


@dataclass(frozen=True)
class Resumption:
    """What came of the blocks that the last session left undecided."""

    next_block: int
    """The smallest number that no block at either end has had."""
    rolled_forward: tuple[int, ...] = ()
    discarded: tuple[int, ...] = ()


def standing(store: LinkStore) -> Resume:
    """What this end tells the peer about its durable state."""
    return Resume(
        pad_cursors=(store.pad_cursor(Direction(0)), store.pad_cursor(Direction(1))),
        pad_ends=(store.pad_end(Direction(0)), store.pad_end(Direction(1))),
        highest_block=store.highest_block(),
        prepared=tuple(sorted(store.prepared_blocks())),
    )


def is_behind(own: Resume, peer: Resume, sending: Direction) -> bool:
    """Whether the peer remembers more of the pad that this end sends with than this end does.

    Pad is spent before a tag leaves, so this happens only to an end restored from an old copy.
    Its next tag would stand on used pad, yet the peer's word is not authenticated so far: it must
    wait for the peer's tag before it moves its cursor and tags itself. Raises LinkError if each
    end would wait for the other: the older copy knows nothing that the newer does not.
    """
    receiving = Direction(1 - sending)
    behind = peer.pad_cursors[sending] > own.pad_cursors[sending]
    if behind and own.pad_cursors[receiving] > peer.pad_cursors[receiving]:
        raise LinkError(
            "each end claims to know less of its own pad than the other: the message was altered "
            "on the way, or the two stores do not belong together"
        )
    return behind


def catch_up(store: LinkStore, peer: Resume, sending: Direction) -> None:
    """Skips the pad that this end forgot it has used; only once the peer's tag is verified.

    Raises LinkError if the peer remembers more pad than was ever provided here.
    """
    if peer.pad_cursors[sending] > store.pad_end(sending):
        raise _strangers(sending)
    store.move_pad_cursor(sending, peer.pad_cursors[sending])


def verdict(store: LinkStore, own: Resume, follower: Resume) -> Verdict:
    """The leader's answer; raises LinkError if the follower released what the leader did not."""
    if own.prepared:
        raise LinkError(
            f"blocks {own.prepared} are prepared here, at the commit leader: commit roles were "
            "exchanged while blocks were undecided; put them back until the link has resumed"
        )
    for direction in Direction:
        if follower.pad_ends[direction] > own.pad_ends[direction]:
            raise _strangers(direction)
    return Verdict(tuple(block for block in follower.prepared if store.is_released(block)))


def settle(store: LinkStore, own: Resume, leader: Resume, verdict: Verdict) -> Resumption:
    """The follower's side: rolls forward what the leader released, discards the rest.

    Raises LinkError before it touches anything if the two stores cannot belong together.
    """
    released = frozenset(verdict.released)
    if not released <= frozenset(own.prepared):
        raise ProtocolError("the leader decided about blocks that are not prepared here")
    for direction in Direction:
        if own.pad_ends[direction] > leader.pad_ends[direction]:
            raise _strangers(direction)
    for block in own.prepared:
        if block in released:
            store.roll_forward(block)
        else:
            store.discard_prepared(block)
    for direction in Direction:
        if store.pad_end(direction) != leader.pad_ends[direction]:
            raise _strangers(direction)
    return Resumption(
        next_block(own, leader),
        tuple(sorted(released)),
        tuple(block for block in own.prepared if block not in released),
    )


def next_block(own: Resume, peer: Resume) -> int:
    """The smallest block number that neither end has used durably."""
    return max(own.highest_block, peer.highest_block) + 1


def _strangers(direction: Direction) -> LinkError:
    return LinkError(
        f"the two ends were given different amounts of pad for {direction.name}: one store lost "
        "released blocks or was paired apart; pair the link anew"
    )

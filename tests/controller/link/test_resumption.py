"""What the leader's record decides, and stores that do not belong together."""

from dataclasses import replace

import pytest

from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.link.control import Verdict
from qkd_controller.link.errors import LinkError, ProtocolError
from qkd_controller.link.resumption import (
    MAX_SKIP_BYTES,
    meet_cursors,
    settle,
    standing,
    verdict,
)


def block(number, key=bytes(range(64))):
    return AmplifiedBlock(number, bytearray(key), 32, 1e-10)


@pytest.fixture
def leader(bench):
    return bench.MemoryStore()


@pytest.fixture
def follower(bench):
    return bench.MemoryStore()


def settled(leader, follower):
    at_leader, at_follower = standing(leader), standing(follower)
    decided = verdict(leader, at_leader, at_follower)
    return settle(follower, at_follower, at_leader, decided)


def test_a_block_released_at_the_leader_is_rolled_forward(leader, follower):
    follower.prepare(block(4))
    leader.release(block(4))
    outcome = settled(leader, follower)
    assert outcome.rolled_forward == (4,) and outcome.next_block == 5
    assert follower.released == leader.released and follower.pads == leader.pads


def test_a_block_not_released_at_the_leader_is_discarded_and_its_number_is_not_used_again(
    leader, follower
):
    follower.prepare(block(4))
    outcome = settled(leader, follower)
    assert outcome.discarded == (4,) and outcome.next_block == 5
    assert not follower.prepared and not follower.released


def test_both_cursors_move_to_the_larger(leader, follower):
    leader.take_pad(Direction.LEADER_TO_FOLLOWER, 48)
    follower.take_pad(Direction.FOLLOWER_TO_LEADER, 16)
    at_leader, at_follower = standing(leader), standing(follower)
    meet_cursors(leader, at_follower)
    meet_cursors(follower, at_leader)
    assert leader.cursors == follower.cursors == [48, 16]


async def test_an_end_restored_from_an_old_copy_uses_no_pad_again(bench, leader, follower):
    """The peer remembers what was spent."""
    old = replace(leader, cursors=list(leader.cursors), taken=[])
    for generation in (leader, old):
        pipes = bench.MemoryPipe.pair()
        await bench.both(
            bench.open_session("bob", pipes[0], bench.DurableStore(generation, bench.inline)),
            bench.open_session("alice", pipes[1], bench.DurableStore(follower, bench.inline)),
        )
    first = {cursor for d, cursor, _ in leader.taken if d is Direction.LEADER_TO_FOLLOWER}
    second = {cursor for d, cursor, _ in old.taken if d is Direction.LEADER_TO_FOLLOWER}
    assert first and second and not first & second


def test_a_peer_cannot_burn_the_pad(leader, follower):
    far = replace_cursor(standing(follower), MAX_SKIP_BYTES + 1)
    with pytest.raises(LinkError, match="pair the link anew"):
        meet_cursors(leader, far)
    assert leader.cursors == [0, 0]


def replace_cursor(resume, cursor):
    return type(resume)((cursor, 0), resume.pad_ends, resume.highest_block, resume.prepared)


def test_a_follower_with_blocks_unknown_to_the_leader_is_refused(leader, follower):
    follower.prepare(block(1))
    follower.roll_forward(1)
    with pytest.raises(LinkError, match="different amounts of pad"):
        verdict(leader, standing(leader), standing(follower))
    with pytest.raises(LinkError, match="different amounts of pad"):
        settle(follower, standing(follower), standing(leader), Verdict(()))


def test_a_follower_that_lost_a_block_is_refused(leader, follower):
    leader.release(block(1))
    with pytest.raises(LinkError, match="different amounts of pad"):
        settled(leader, follower)


def test_a_verdict_on_blocks_that_are_not_prepared_is_refused(leader, follower):
    with pytest.raises(ProtocolError):
        settle(follower, standing(follower), standing(leader), Verdict((9,)))


def test_exchanged_commit_roles_are_refused_while_blocks_are_undecided(leader, follower):
    leader.prepare(block(1))
    with pytest.raises(LinkError, match="commit roles"):
        verdict(leader, standing(leader), standing(follower))

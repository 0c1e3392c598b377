"""What the leader's record decides, and stores that do not belong together."""

from dataclasses import replace

import pytest

from qkd_controller.keys.contract import AmplifiedBlock, Direction
from qkd_controller.link.control import Verdict
from qkd_controller.link.errors import LinkError, ProtocolError
from qkd_controller.link.resumption import (
    catch_up,
    is_behind,
    settle,
    standing,
    verdict,
)

DOWN, UP = Direction


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


def test_only_an_end_that_forgot_its_own_tags_is_behind(leader, follower):
    leader.take_pad(DOWN, 48)
    at_leader, at_follower = standing(leader), standing(follower)
    assert not is_behind(at_leader, at_follower, DOWN)
    assert not is_behind(at_follower, at_leader, UP)
    assert is_behind(at_follower, at_leader, DOWN)


def test_two_ends_that_would_wait_for_each_other_are_refused(leader, follower):
    leader.move_pad_cursor(DOWN, 48)
    follower.move_pad_cursor(UP, 48)
    for own, peer, sending in ((leader, follower, UP), (follower, leader, DOWN)):
        with pytest.raises(LinkError, match="altered"):
            is_behind(standing(own), standing(peer), sending)


def test_a_cursor_past_all_pad_is_a_stranger_s(leader, follower):
    follower.pads[DOWN] += bytes(32)
    follower.move_pad_cursor(DOWN, follower.pad_end(DOWN))
    with pytest.raises(LinkError, match="paired apart"):
        catch_up(leader, standing(follower), DOWN)
    assert leader.cursors == [0, 0]


@pytest.mark.parametrize(("restored", "other"), [("bob", "alice"), ("alice", "bob")])
async def test_an_end_restored_from_an_old_copy_uses_no_pad_again(
    bench, leader, follower, restored, other
):
    """The peer remembers what was spent."""
    old = replace(leader, cursors=list(leader.cursors), taken=[])
    for generation in (leader, old):
        pipes = bench.MemoryPipe.pair()
        results = await bench.both(
            bench.open_session(restored, pipes[0], bench.DurableStore(generation, bench.inline)),
            bench.open_session(other, pipes[1], bench.DurableStore(follower, bench.inline)),
        )
        assert not any(isinstance(result, BaseException) for result in results)
    first, second = ({(d, cursor) for d, cursor, _ in s.taken} for s in (leader, old))
    assert first and second and not first & second
    assert old.cursors == follower.cursors


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

"""A node dies in the middle of a block and comes back; both ends carry on with equal pools."""

import time
from collections.abc import Callable

import pytest
from testbed import ENDS, PEER, Testbed
from testbed_node import Node
from testbed_store import Store, assert_same_pools
from waiting import until


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("collecting", "alice"),
        ("distilling", "bob"),
        ("releasing", "alice"),
        *(
            pytest.param(stage, name, marks=pytest.mark.soak)
            for stage in ("collecting", "distilling", "releasing")
            for name in ENDS
            for _ in range(3)
        ),
    ],
)
def test_a_crash_in_mid_block(bed: Testbed, stage: str, name: str) -> None:
    """A block is released at both ends or at none, wherever the end died."""
    reach(bed.nodes[name], stage)
    crash(bed, name)


def test_a_follower_that_dies_with_a_prepared_block(bed: Testbed) -> None:
    """The leader's record decides: the block is rolled forward or given up, at both ends alike."""
    mark = bed.bob.log.mark()
    store = stop_when(bed.bob, lambda store: bool(store.prepared))
    (block,) = store.prepared
    assert block not in store.released
    # The follower stands still: whatever the leader makes of its word, it cannot hear of it.
    crash(bed, "bob")
    resumed = bed.bob.log.events("link_up", mark)[-1]
    alice, bob = bed.stores()
    assert (block in alice.released) == (block in bob.released)
    told = "rolled_forward" if block in bob.released else "discarded"
    assert resumed[told] == [block]


def test_a_leader_that_dies_once_it_has_released(bed: Testbed) -> None:
    """A block that the leader has released is never lost, whether its word got out or not."""
    with bed.alice.frozen():
        before = bed.alice.store().highest
    store = stop_when(bed.alice, lambda store: store.highest > before)
    crash(bed, "alice")
    alice, bob = bed.stores()
    assert store.highest in alice.released
    assert store.highest in bob.released


def test_both_ends_die_at_once(bed: Testbed) -> None:
    """As after a power cut at both ends."""
    reach(bed.alice, "distilling")
    before = [kill(node) for node in bed.nodes.values()]
    for node in bed.nodes.values():
        node.start()
    assert_recovered(bed, before)


@pytest.mark.soak
def test_one_crash_after_another(bed: Testbed) -> None:
    """No recovery is needed to be whole before the next crash."""
    before = []
    for number in range(12):
        node = bed.nodes[ENDS[number % 2]]
        before.append(kill(node))
        node.start()
        until(node.status, f"{node.name} answers")
    assert_recovered(bed, before)


def crash(bed: Testbed, name: str) -> None:
    """SIGKILL and restart of one end; both recover by themselves with equal pools."""
    peer = bed.nodes[PEER[name]]
    sessions = bed.sessions()
    mark = peer.log.mark()
    store = kill(bed.nodes[name])
    down = until(lambda: peer.log.events("link_down", mark), f"{peer.name} misses its peer")
    assert down[0]["cause"]
    bed.nodes[name].start()
    assert_recovered(bed, [store])
    assert bed.sessions() == [count + 1 for count in sessions]


def kill(node: Node) -> Store:
    """SIGKILL; what is left on the disk of the dead."""
    node.kill()
    return node.store()


def assert_recovered(bed: Testbed, before: list[Store]) -> None:
    """Both ends make key again; every block released before still is, with its bits."""
    bed.until_released()
    alice, bob = bed.stores()
    for store in before:
        assert store.released.keys() <= alice.released.keys()
        # What a prepared block was to add is in the others by now, or discarded.
        for name in store.lines.keys() & alice.lines.keys() & bob.lines.keys():
            line = store.lines[name]
            for end in (alice, bob):
                kept = end.lines[name][: len(line)]
                both = (line >= 0) & (kept >= 0)
                assert (line[both] == kept[both]).all()
    assert_same_pools(alice, bob)
    assert alice.highest > max(store.highest for store in before)
    for master in ENDS:
        bed.same_keys(master, number=4, size_bits=2048)
    bed.assert_calm()


def reach(node: Node, stage: str) -> None:
    """Returns while the node's block is in this stage; may take some blocks to be seen."""
    deadline = time.monotonic() + 60
    while (link := node.link()) is None or link.block.stage != stage:
        assert time.monotonic() < deadline, f"never seen {stage}"


def stop_when(node: Node, condition: Callable[[Store], bool]) -> Store:
    """Lets the node go on in small steps until its disk shows something, and leaves it stopped."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reach(node, "releasing")
        while True:
            node.freeze()
            if condition(store := node.store()):
                return store
            node.thaw()
            link = node.link()
            if link is not None and link.block.stage == "collecting":
                break
    raise AssertionError("the moment was never caught")

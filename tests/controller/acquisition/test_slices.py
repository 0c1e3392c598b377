"""Plan and queue of slices: what is for key, what is settled, what is forgotten."""

import numpy as np
import pytest

from qkd_controller.acquisition.slices import (
    ModePlan,
    SliceCounts,
    SliceId,
    SliceQueue,
    UnsettledSlice,
)
from qkd_controller.link.acquisition_messages import ModeChange


def codes(count):
    return np.zeros(count, np.uint8)


def test_the_plan_holds_from_its_slice_on_over_all_epochs():
    plan = ModePlan(4)
    assert plan.mode(SliceId(0, 1)) == "test", "until a change says otherwise"
    plan.add(ModeChange("key", 1, 0))
    plan.add(ModeChange("test", 2, 5))
    plan.add(ModeChange("key", 4, 1))
    expected = {(1, 9): "key", (2, 4): "test", (2, 5): "test", (3, 1): "test", (4, 1): "key"}
    expected |= {(2, 3): "key", (4, 8): "test", (9, 7): "key", (9, 0): "test"}
    assert {s: plan.mode(SliceId(*s)) for s in expected} == expected
    with pytest.raises(ValueError, match="before the last"):
        plan.add(ModeChange("test", 4, 0))
    plan.forget_before(SliceId(3, 0))
    assert len(plan.changes()) == 2
    assert plan.mode(SliceId(3, 1)) == "test"
    plan.forget_before(SliceId(5, 0))
    assert len(plan.changes()) == 1
    assert plan.mode(SliceId(5, 1)) == "key"
    never = ModePlan(0)
    never.add(ModeChange("key", 0, 0))
    assert never.mode(SliceId(0, 0)) == "key"


def test_slices_settle_in_order_when_both_runs_are_clean():
    queue = SliceQueue(SliceCounts())
    for index, announced in enumerate([7, 7, 8, 8]):
        queue.append(SliceId(1, index), announced, codes(10))
    queue.verdict("announcing", 8, True)
    queue.verdict("reference", 1, True)
    assert queue.settled() == [], "the first slices still wait for run 7"
    queue.verdict("announcing", 7, True)
    assert queue.settled_pairs == 40
    assert len(queue.take([SliceId(1, 0), SliceId(1, 1)])) == 20
    assert queue.settled_pairs == 20


def test_settled_pairs_may_be_read_while_slices_are_taken(monkeypatch):
    """As the event loop does while the engine's thread is at work."""
    queue = SliceQueue(SliceCounts())
    for index in range(3):
        queue.append(SliceId(1, index), 7, codes(10))
    settled = queue._settled

    def interrupted(entry):
        queue.drop_oldest()
        return settled(entry)

    monkeypatch.setattr(queue, "_settled", interrupted)
    queue.verdict("announcing", 7, True)
    queue.verdict("reference", 1, True)
    assert queue.settled_pairs in (0, 10, 20, 30)


def test_slices_of_an_unclean_run_go_whenever_they_come():
    counts = SliceCounts()
    queue = SliceQueue(counts)
    queue.append(SliceId(1, 0), 7, codes(10))
    queue.append(SliceId(1, 1), 8, codes(10))
    queue.verdict("announcing", 7, False)
    queue.verdict("announcing", 8, True)
    queue.verdict("reference", 1, True)
    assert queue.settled() == [(1, 1)]
    queue.verdict("reference", 2, False)
    queue.append(SliceId(2, 0), 8, codes(10))
    assert counts.unsafe == 2 and len(queue) == 1


def test_a_verdict_lasts_until_its_slices_have_come():
    queue = SliceQueue(SliceCounts())
    for epoch in range(5):
        queue.verdict("reference", epoch, True)
    queue.verdict("announcing", 7, True)
    for epoch in range(5):
        queue.append(SliceId(epoch, 3), 7, codes(1))
        assert queue.settled() == [(epoch, 3)]
        queue.take([SliceId(epoch, 3)])


def test_taking_what_is_not_there_or_not_settled_is_refused():
    queue = SliceQueue(SliceCounts())
    queue.append(SliceId(1, 0), 7, codes(10))
    with pytest.raises(KeyError):
        queue.take([SliceId(1, 1)])
    with pytest.raises(UnsettledSlice):
        queue.take([SliceId(1, 0)])
    assert queue.bytes_held == 0


def test_a_queue_does_not_show_its_codes():
    queue = SliceQueue(SliceCounts())
    queue.append(SliceId(1, 0), 7, np.full(10, 3, np.uint8))
    assert "array" not in repr(queue) and "array" not in repr(vars(queue))


@pytest.mark.parametrize("leave", ["take", "drop", "drop oldest", "clear", "unclean", "refused"])
def test_codes_that_leave_a_queue_are_wiped_in_it(leave):
    queue = SliceQueue(SliceCounts())
    name, held = SliceId(1, 0), np.full(10, 3, np.uint8)
    queue.verdict("reference", 1, leave != "unclean")
    queue.append(name, 7, held)
    match leave:
        case "take":
            queue.verdict("announcing", 7, True)
            assert queue.take([name]).tolist() == [3] * 10
        case "drop":
            queue.drop([name])
        case "drop oldest":
            assert queue.drop_oldest() == name
        case "clear":
            queue.clear()
        case "refused":
            with pytest.raises(UnsettledSlice):
                queue.take([name])
    assert not held.any()

"""The link's state machine takes no step that skips one."""

from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.node.state import LinkState, StateMachine

ORDER = ["down", "preparing", "connecting", "synchronising", "aligning", "keying"]


@given(st.lists(st.sampled_from(LinkState), max_size=30))
def test_every_transition_is_a_fall_or_one_step_up(goals: list[LinkState]) -> None:
    seen: list[tuple[LinkState, LinkState, str]] = []
    machine = StateMachine(lambda before, after, cause: seen.append((before, after, cause)))
    for goal in goals:
        machine.enter(goal, f"to {goal.value}")
        assert machine.state is goal
    for before, after, cause in seen:
        assert before is not after and cause
        if after is LinkState.ALARM:
            assert before is LinkState.ALIGNING
        elif before is not LinkState.ALARM:
            assert ORDER.index(after.value) <= ORDER.index(before.value) + 1
        else:
            assert after is not LinkState.KEYING


def test_staying_renews_the_cause_without_a_transition() -> None:
    seen: list[object] = []
    machine = StateMachine(lambda *change: seen.append(change))
    machine.enter(LinkState.PREPARING, "oven is cold")
    machine.enter(LinkState.PREPARING, "laser is off")
    assert len(seen) == 1
    assert machine.cause == "laser is off"

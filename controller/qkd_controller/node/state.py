"""The link's state machine: where it stands, since when, and why."""

import enum
import time
from collections.abc import Callable


class LinkState(enum.Enum):
    """From nothing to key; a link climbs one step at a time and may fall to any lower one."""

    DOWN = "down"
    PREPARING = "preparing"
    """Instruments connect, warm up or have tripped."""
    CONNECTING = "connecting"
    """No session with the peer."""
    SYNCHRONISING = "synchronising"
    """The clocks' offset and rate are sought in the photons."""
    ALIGNING = "aligning"
    """Polarisation is measured and aligned on test slices."""
    KEYING = "keying"
    ALARM = "alarm"
    """The error rate stays too high: no key is made until it falls."""


# A step up leads only from the state before; a fall may lead anywhere below.
_STEPS_UP = {
    LinkState.DOWN: {LinkState.PREPARING},
    LinkState.PREPARING: {LinkState.CONNECTING},
    LinkState.CONNECTING: {LinkState.SYNCHRONISING},
    LinkState.SYNCHRONISING: {LinkState.ALIGNING},
    LinkState.ALIGNING: {LinkState.KEYING, LinkState.ALARM},
    LinkState.KEYING: set(),
    LinkState.ALARM: {LinkState.ALIGNING},
}
_FLOORS = [
    LinkState.DOWN,
    LinkState.PREPARING,
    LinkState.CONNECTING,
    LinkState.SYNCHRONISING,
    LinkState.ALIGNING,
    LinkState.KEYING,
]


# Why a step that only leads to a later one was taken.
_PASSED = {
    LinkState.PREPARING: "the end is running",
    LinkState.CONNECTING: "the instruments are ready",
    LinkState.SYNCHRONISING: "a session with the peer is open",
    LinkState.ALIGNING: "the clocks are locked",
}


class StateMachine:
    """Holds the link's state; every transition has a cause and is told to one listener."""

    def __init__(self, on_change: Callable[[LinkState, LinkState, str], None]) -> None:
        self.state = LinkState.DOWN
        self.cause = "not started"
        self.since_utc_s = time.time()
        self._on_change = on_change

    def enter(self, state: LinkState, cause: str) -> None:
        """Goes to a state, through each step between; staying only renews the cause."""
        if state is self.state:
            self.cause = cause
            return
        for step in self._path(state):
            before, self.state = self.state, step
            self.cause = cause if step is state else _PASSED[step]
            self.since_utc_s = time.time()
            self._on_change(before, step, self.cause)

    def _path(self, goal: LinkState) -> list[LinkState]:
        """The shortest legal way: one fall, or one step up after another."""
        if goal in _below(self.state):
            return [goal]
        path = [self.state]
        while path[-1] is not goal:
            here = path[-1]
            if goal in _STEPS_UP[here]:
                path.append(goal)
            elif here in (LinkState.ALARM, LinkState.KEYING):
                path.append(LinkState.ALIGNING)
            else:
                path.append(_FLOORS[_FLOORS.index(here) + 1])
        return path[1:]


def _below(state: LinkState) -> list[LinkState]:
    if state is LinkState.ALARM:
        return _FLOORS[: _FLOORS.index(LinkState.ALIGNING)]
    return _FLOORS[: _FLOORS.index(state)]

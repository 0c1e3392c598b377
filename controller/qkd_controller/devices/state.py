"""The states of a device actor."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a device stands between its absence and its set-points."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    SETTLING = "settling"
    READY = "ready"
    TRIPPED = "tripped"
    """A protection has acted: the device stays safe until the operator re-arms it."""


@dataclass(frozen=True)
class StateChange:
    """One step of a device, and why it was taken."""

    device: str
    state: State
    cause: str
    utc_s: float

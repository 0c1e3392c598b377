"""Waits of tests for what other processes do."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 60.0
"""For whatever takes a few seconds on a quiet machine."""
POLL_S = 0.05

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """What the condition gives as soon as that is true; AssertionError after within_s."""
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(POLL_S)
    return result


def while_(condition: Callable[[], bool], what: str, for_s: float) -> None:
    """Returns after for_s, in which the condition held whenever it was looked at."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        assert condition(), f"no longer true: {what}"
        time.sleep(POLL_S)

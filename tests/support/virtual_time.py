"""Time that passes only while everybody waits: minutes of a motor in milliseconds of a test."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class _Waits(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Lets time jump to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now_s += timeout
        return ready


def run(play: Callable[[Callable[[], float]], Coroutine[Any, Any, T]]) -> T:
    """What the coroutine gives that play makes of a clock in s; drivers see the same clock."""
    waits = _Waits()

    def clock() -> float:
        return waits.now_s

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", clock)
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(waits)) as runner:
            return runner.run(play(clock))

"""Whether what is done again and again leaves something behind."""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable

STEPS = 300
NOISE_OBJECTS = 250
NOISE_BYTES = 32 << 10
"""What comes and goes, such as timers that were cancelled; it does not add up."""


async def assert_levels_off(step: Callable[[], Awaitable[object]], steps: int = STEPS) -> None:
    """Once caches are full, further steps leave no objects and no memory of Python's behind."""
    tracemalloc.start()
    try:
        before_objects, before_bytes = await _held(step, steps)
        objects, held_bytes = await _held(step, steps)
    finally:
        tracemalloc.stop()
    more_objects, more_bytes = objects - before_objects, held_bytes - before_bytes
    assert more_objects < NOISE_OBJECTS, f"{more_objects} more objects after {steps} steps"
    assert more_bytes < NOISE_BYTES, f"{more_bytes} more bytes after {steps} steps"


async def _held(step: Callable[[], Awaitable[object]], steps: int) -> tuple[int, int]:
    """How many objects and bytes there are after so many steps."""
    for _ in range(steps):
        await step()
    gc.collect()
    return len(gc.get_objects()), tracemalloc.get_traced_memory()[0]

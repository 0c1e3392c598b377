"""Moving a set-point in small steps."""

import asyncio
from collections.abc import Awaitable, Callable

STEP_S = 0.05


async def ramp(
    put: Callable[[float], Awaitable[None]], start: float, end: float, rate_per_s: float
) -> None:
    """Puts values from start to end, one each `STEP_S`; end alone if the rate is 0."""
    step = rate_per_s * STEP_S
    at = start
    while step > 0 and abs(end - at) > step:
        at += step if end > at else -step
        await put(at)
        await asyncio.sleep(STEP_S)
    await put(end)

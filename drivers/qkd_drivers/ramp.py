"""Moving a set-point in small steps."""

import asyncio
from collections.abc import Awaitable, Callable

STEP_S = 0.05


async def ramp(
    put: Callable[[float], Awaitable[None]],
    start: float,
    end: float,
    rate_per_s: float,
    *,
    step_s: float = STEP_S,
) -> None:
    """Puts values from start to end, one each step_s; end alone if the rate is 0.

    Where put itself takes longer than step_s, the ramp is slower than its rate.
    """
    clock = asyncio.get_running_loop().time
    step = rate_per_s * step_s
    at = start
    while step > 0 and abs(end - at) > step:
        at += step if end > at else -step
        due_s = clock() + step_s
        await put(at)
        await asyncio.sleep(max(0.0, due_s - clock()))
    await put(end)

"""Heavy work beside the event loop, light work in it."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from qkd_controller.link.durable import finish

P = ParamSpec("P")
T = TypeVar("T")


LIGHT_BYTES = 1 << 18
"""Work on so few bytes takes about a millisecond at most; a thread costs 50 µs and the wait for
the interpreter's lock, twice."""


async def aside(size_bytes: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function on about so many bytes: here if they are few, else in a thread."""
    if size_bytes <= LIGHT_BYTES:
        return function(*args, **kwargs)
    return await in_thread(function, *args, **kwargs)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function in a worker thread and outlasts it.

    A cancelled caller goes on only once the thread has ended, so that buffers it then wipes are
    not written again.
    """
    return await finish(asyncio.to_thread(function, *args, **kwargs))

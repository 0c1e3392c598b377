"""The durable store as sessions use it: in its thread, one session at a time, never half done."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from qkd_controller.keys.contract import LinkStore
from qkd_controller.link.errors import LinkError

T = TypeVar("T")


class Threads(Protocol):
    """Runs a blocking call outside the event loop."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Sees the work through even if the caller is cancelled, and only then lets go."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # The cancellation outranks a failure of the work, which must still count as seen.
        task.cancelled() or task.exception()
        raise cancelled
    return task.result()


class DurableStore:
    """One link end's store; at any time at most one session holds a lease on it."""

    def __init__(self, store: LinkStore, threads: Threads) -> None:
        self._store = store
        self._threads = threads
        self._lock = asyncio.Lock()
        self._holder: Lease | None = None

    async def lease(self) -> "Lease":
        """Ends the lease of an earlier session once its last write is done, and gives a new one.

        Without this, a write still on its way to the disk could release a block after the
        next session has told the peer that it is not released.
        """
        async with self._lock:
            self._holder = Lease(self)
            return self._holder

    async def read(self, operation: Callable[[LinkStore], T]) -> T:
        """Runs one call that changes nothing."""
        return await finish(self._run(operation))

    async def _run(self, operation: Callable[[LinkStore], T]) -> T:
        async with self._lock:
            return await self._threads(lambda: operation(self._store))

    async def _run_for(self, lease: "Lease", operation: Callable[[LinkStore], T]) -> T:
        async with self._lock:
            if self._holder is not lease:
                raise LinkError("a newer session has taken the place of this one")
            return await self._threads(lambda: operation(self._store))


class Lease:
    """The right of one session to use the store."""

    def __init__(self, owner: DurableStore) -> None:
        self._owner = owner

    async def call(self, operation: Callable[[LinkStore], T]) -> T:
        """Runs one call to its end, cancelled or not; raises LinkError once the lease is over."""
        return await finish(self._owner._run_for(self, operation))

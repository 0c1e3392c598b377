"""A queue of messages that knows how many bytes it holds, and that can end."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from qkd_controller.config.errors import QkdError
from qkd_controller.link.errors import ProtocolError

T = TypeVar("T")


class Inbox(Generic[T]):
    """Bounded in bytes; read by one task at a time."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: deque[tuple[T, int]] = deque()
        self.held_bytes = 0
        """Of the messages that nobody has taken yet."""
        self._end: QkdError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._roomy = asyncio.Event()

    def end(self, error: QkdError) -> None:
        """No message comes any more; whoever has taken the last one gets the error."""
        self._end = error
        self._roomy.set()
        self._wake()

    def offer(self, message: T, size_bytes: int) -> None:
        """Adds a message; raises ProtocolError if there is no room for it."""
        if not self._fits(size_bytes):
            raise ProtocolError("the peer sends more than this end can take in")
        self._add(message, size_bytes)

    async def add(self, message: T, size_bytes: int) -> None:
        """Adds a message once there is room for it."""
        while not self._fits(size_bytes):
            self._roomy.clear()
            await self._roomy.wait()
        self._add(message, size_bytes)

    async def take(self) -> T:
        """The next message; raises the error that ended it once there is none."""
        while not self._held:
            if self._end is not None:
                raise self._end
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message, size_bytes = self._held.popleft()
        self.held_bytes -= size_bytes
        self._roomy.set()
        return message

    def _fits(self, size_bytes: int) -> bool:
        held_bytes = self.held_bytes
        return not held_bytes or held_bytes + size_bytes <= self._limit_bytes

    def _add(self, message: T, size_bytes: int) -> None:
        self._held.append((message, size_bytes))
        self.held_bytes += size_bytes
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

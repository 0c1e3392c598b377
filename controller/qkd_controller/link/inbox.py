"""A queue of messages that knows how many bytes it holds, and that can end."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from qkd_controller.config.errors import QkdError
from qkd_controller.link.errors import ProtocolError

T = TypeVar("T")


class Inbox(asyncio.Queue[T | QkdError], Generic[T]):
    """Bounded in bytes; an error in it is its end, for whoever reads it."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes
        self._sizes: deque[int] = deque()
        self.held_bytes = 0
        """Of the messages that nobody has taken yet."""
        self._roomy = asyncio.Event()

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

    def _fits(self, size_bytes: int) -> bool:
        return not self.held_bytes or self.held_bytes + size_bytes <= self._limit_bytes

    def _add(self, message: T, size_bytes: int) -> None:
        self.put_nowait(message)
        self._sizes[-1] = size_bytes
        self.held_bytes += size_bytes

    def _put(self, item: T | QkdError) -> None:
        self._sizes.append(0)
        super()._put(item)

    def _get(self) -> T | QkdError:
        self.held_bytes -= self._sizes.popleft()
        self._roomy.set()
        return super()._get()

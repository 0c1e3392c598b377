"""What waits to be sent to the peer, bounded in bytes."""

import asyncio
from collections import deque

import msgspec

from qkd_controller.link.errors import LinkError
from qkd_controller.link.message import Message

LIMIT_BYTES = 64 << 20
_MESSAGE_BYTES = 200


def size_bytes(message: Message) -> int:
    """About what a message takes: its byte strings, and something for the rest."""
    fields = msgspec.structs.astuple(message)
    return _MESSAGE_BYTES + sum(len(field) for field in fields if isinstance(field, bytes))


class Outbox:
    """A queue of messages for one session."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._messages: deque[Message] = deque()
        self._filled = asyncio.Event()

    def put(self, message: Message) -> None:
        """Queues a message; raises LinkError if the peer has not read what came before."""
        size = size_bytes(message)
        if self._messages and self._held_bytes + size > self._limit_bytes:
            raise LinkError("the peer reads more slowly than this end speaks")
        self._held_bytes += size
        self._messages.append(message)
        self._filled.set()

    async def get(self) -> Message:
        """The oldest message, once there is one; for a single reader."""
        while not self._messages:
            self._filled.clear()
            await self._filled.wait()
        message = self._messages.popleft()
        self._held_bytes -= size_bytes(message)
        return message

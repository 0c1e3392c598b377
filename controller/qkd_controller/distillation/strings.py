"""Both strings of a block in one conversation, each with an ear of its own."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from qkd_controller.link.block_messages import StringMessage, StringName
from qkd_controller.link.channel import BlockChannel
from qkd_controller.link.errors import BlockDiscarded, ProtocolError

STRINGS: tuple[StringName, StringName] = ("z", "x")
MOST_WAITING = 4
"""An honest end says no more about a string before it is answered."""

S = TypeVar("S", bound=StringMessage)
T = TypeVar("T")


class StringChannels:
    """Deals a channel's messages out by the string that they are about.

    The channel is read only while somebody waits for a message, and by one reader at a time: what
    comes once both strings agree stays in it.
    """

    def __init__(self, channel: BlockChannel) -> None:
        self.block = channel.block
        self._channel = channel
        self._dealt: dict[StringName, deque[StringMessage]] = {name: deque() for name in STRINGS}
        self._reading = asyncio.Lock()

    def __getitem__(self, name: StringName) -> "StringChannel":
        return StringChannel(self, name)

    async def send(self, message: StringMessage) -> None:
        """As BlockChannel.send()."""
        await self._channel.send(message)

    async def next(self, name: StringName) -> StringMessage:
        """The next message about this string; raises as BlockChannel.receive() does."""
        own = self._dealt[name]
        while not own:
            async with self._reading:
                if not own:
                    self._deal(await self._channel.receive(StringMessage))
        return own.popleft()

    def _deal(self, message: StringMessage) -> None:
        waiting = self._dealt[message.string]
        if len(waiting) == MOST_WAITING:
            raise ProtocolError(f"the peer says too much about string {message.string} at once")
        waiting.append(message)


class StringChannel:
    """One string's part of a block's conversation."""

    def __init__(self, channels: StringChannels, name: StringName) -> None:
        self.block = channels.block
        self.name = name
        self._channels = channels

    async def send(self, message: StringMessage) -> None:
        """As BlockChannel.send(); raises ValueError for a message about the other string."""
        if message.string != self.name:
            raise ValueError(f"a message about string {message.string}, not {self.name}")
        await self._channels.send(message)

    async def receive(self, kind: type[S]) -> S:
        """The next message about this string, which must be of this kind.

        Raises BlockDiscarded if the peer discarded the block, LinkError if the link broke,
        ProtocolError for any other kind.
        """
        message = await self._channels.next(self.name)
        if not isinstance(message, kind):
            raise ProtocolError(f"expected {kind.__name__}, the peer sent {type(message).__name__}")
        return message


async def together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """The results of all; where one fails the others are cancelled, and its error is raised.

    Of several errors one that ends the session outranks one that only discards the block.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as errors:
        grave = [e for e in errors.exceptions if not isinstance(e, BlockDiscarded)]
        raise (grave or list(errors.exceptions))[0] from None
    return [task.result() for task in tasks]

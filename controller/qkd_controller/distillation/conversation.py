"""What the two ends say about one string, and what it leaks."""

import math
import time
from dataclasses import dataclass, field
from typing import TypeVar

from qkd_controller.link.block_messages import StringMessage, StringName
from qkd_controller.link.channel import BlockChannel
from qkd_controller.link.errors import BlockDiscarded, ProtocolError

S = TypeVar("S", bound=StringMessage)
R = TypeVar("R", bound=StringMessage)


@dataclass
class Tally:
    """What agreeing on one string took."""

    leaked_bits: int = 0
    """As this end worked it out, apart from the ledger."""
    rounds: int = 0
    confirmations: int = 0
    repaired_frames: int = 0
    disclosed_frames: int = 0
    answer_s: float = field(default=math.inf, compare=False)
    """The quickest answer to a request: a round trip and the least work; at the corrector."""


@dataclass(repr=False)
class StringConversation:
    """One end's ear and mouth for a string, with the account of what is said."""

    channel: BlockChannel
    name: StringName
    leak_limit_bits: int
    tally: Tally = field(default_factory=Tally)

    @property
    def block(self) -> int:
        """The block that the string belongs to."""
        return self.channel.block

    async def send(self, message: StringMessage) -> None:
        """As BlockChannel.send()."""
        await self.channel.send(message)

    async def receive(self, kind: type[S]) -> S:
        """As BlockChannel.receive(); ProtocolError also for a message about another string."""
        return self._checked(await self.channel.receive(kind))

    async def ask(self, request: StringMessage, kind: type[S]) -> S:
        """Sends a request and receives its answer."""
        asked_s = time.perf_counter()
        await self.send(request)
        answer = await self.receive(kind)
        self.tally.answer_s = min(self.tally.answer_s, time.perf_counter() - asked_s)
        return answer

    async def receive_either(self, kind: type[S], other: type[R]) -> S | R:
        """A message of either kind; as receive()."""
        message = self._checked(await self.channel.receive(StringMessage))
        if not isinstance(message, kind | other):
            raise ProtocolError(
                f"expected {kind.__name__} or {other.__name__}, "
                f"the peer sent {type(message).__name__}"
            )
        return message

    def count(self, leaked_bits: int) -> None:
        """Counts what is about to leak. Both ends reach the limit at the same message."""
        self.tally.leaked_bits += leaked_bits
        if self.tally.leaked_bits > self.leak_limit_bits:
            raise BlockDiscarded(
                f"agreeing on string {self.name} would leak {self.tally.leaked_bits} bits "
                f"or more, {self.leak_limit_bits} are allowed"
            )

    def _checked(self, message: S) -> S:
        if message.string != self.name:
            raise ProtocolError(f"a message about string {message.string}, not {self.name}")
        return message

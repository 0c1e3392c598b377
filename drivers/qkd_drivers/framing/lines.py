"""Instruments that speak in lines."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from qkd_drivers.errors import DeviceProtocolError, DeviceRefused
from qkd_drivers.framing.answers import leading_number, text
from qkd_drivers.framing.wire import Trace, Wire
from qkd_drivers.transports import Transport

_LINE = rb"[^\r\n]+(?:\r\n?|\n)"


@dataclass(frozen=True)
class Dialect:
    """How a family of instruments speaks in lines.

    Answers may end in CR, LF or both whatever ``end`` is: boxes differ there from their manuals.
    """

    end: bytes
    """Of a command."""
    landmark: tuple[bytes, bytes]
    """A question whose answer is unmistakable, and the pattern of that answer."""
    refusal: str = ""
    """The pattern of an answer by which the instrument declines."""
    unasked: bytes = b""
    """The pattern of how a line begins that the instrument sends on its own."""
    explain: Callable[[str], str] = repr
    """What a refusal means."""


class LineWire(Wire):
    """One line for a question; a word or nothing for a setting, as the instrument has it."""

    def __init__(
        self,
        transport: Transport,
        device: str,
        dialect: Dialect,
        trace: Trace | None = None,
        *,
        on_unasked: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(transport, device, trace)
        self._dialect = dialect
        self._on_unasked = on_unasked
        self._reply = _LINE
        if dialect.unasked:
            self._reply = rb"(?:^|[\r\n])(?!" + dialect.unasked + rb")" + _LINE

    async def ask(
        self, command: str, *, reply: bytes | None = None, timeout_s: float | None = None
    ) -> str:
        """The line that answers; DeviceRefused if it is a refusal.

        A pattern reply is for an answer that looks like what is sent unasked.
        """
        async with self.transaction(repr(command)) as transport:
            answer = await self._ask(transport, command, reply, timeout_s)
        self._check(command, answer)
        return answer

    async def ask_number(self, command: str) -> float:
        """The number that the answer begins with."""
        return self._number(command, await self.ask(command))

    async def confirm(self, command: str) -> None:
        """Sends a setting that is answered by OK; DeviceRefused for any other answer."""
        answer = await self.ask(command)
        if answer.lower() != "ok":
            self.doubt()
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {answer!r}, not OK")

    async def tell(self, command: str) -> None:
        """Sends a setting that is answered by nothing and cannot be read back."""
        async with self.transaction(repr(command)) as transport:
            await self.send(transport, command.encode() + self._dialect.end)

    async def settle(self, command: str, question: str, value: float, *, tolerance: float) -> None:
        """Sends a silent setting and reads it back.

        DeviceRefused if the device complains, or holds another value than the one given.
        """
        async with self.transaction(repr(command)) as transport:
            await self.send(transport, command.encode() + self._dialect.end)
            answer = await self._ask(transport, question)
            complaint = "" if leading_number(answer) is not None else answer
            if complaint:
                answer = text(
                    await transport.read_until(self._reply, timeout_s=self.reply_timeout_s)
                )
        if complaint:
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {complaint!r}")
        held = self._number(question, answer)
        if not abs(held - value) <= tolerance:
            raise DeviceRefused(f"{self.device}: {command!r}: the device still holds {held:g}")

    async def _ask(
        self,
        transport: Transport,
        command: str,
        reply: bytes | None = None,
        timeout_s: float | None = None,
    ) -> str:
        request = command.encode() + self._dialect.end
        came = text(await self._exchange(transport, request, reply or self._reply, timeout_s))
        *unasked, answer = re.split(r"[\r\n]+", came)
        for line in unasked:
            self._on_unasked(line)
        return answer

    def _check(self, command: str, answer: str) -> None:
        dialect = self._dialect
        if dialect.refusal and re.fullmatch(dialect.refusal, answer, re.IGNORECASE):
            told = dialect.explain(answer)
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {told}")

    def _number(self, asked: str, answer: str) -> float:
        number = leading_number(answer)
        if number is None:
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {asked!r}: {answer!r} is not a number")
        return number

    def _landmark(self) -> tuple[bytes, bytes]:
        # The empty line ends what another program may have left unfinished.
        question, pattern = self._dialect.landmark
        return self._dialect.end + question, pattern

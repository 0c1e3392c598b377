"""OZ Optics: content lines, then ``Done``."""

import re

from qkd_drivers.errors import DeviceRefused
from qkd_drivers.framing.answers import text
from qkd_drivers.framing.wire import Trace, Wire
from qkd_drivers.transports import Transport

# Some boxes send an empty line after Done.
_END = rb"(?i)(?:^|\n)\s*(?:done|error[^\n]*)\r?\n(?:\r\n)?"


class OzWire(Wire):
    """OZ Optics: ``command CR LF`` → an echo from some boxes, content lines, then ``Done``."""

    def __init__(
        self,
        transport: Transport,
        device: str,
        trace: Trace | None = None,
        *,
        landmark: tuple[str, str],
    ) -> None:
        """landmark: a question, and words that are in its answer and in no other."""
        super().__init__(transport, device, trace)
        self._question, self._mark = landmark

    async def ask(self, command: str, *, timeout_s: float | None = None) -> str:
        """The content before ``Done``: empty for a setting that was accepted.

        DeviceRefused if the box answers an error.
        """
        async with self.transaction(repr(command)) as transport:
            answer = await self._exchange(transport, f"{command}\r\n".encode(), _END, timeout_s)
            content = [line for each in text(answer).splitlines() if (line := each.strip())]
            refused = content[-1].lower() != "done"
            if refused and (rest := await transport.drain()):
                self.note("<", rest)  # some boxes send Done after an error, too
        if refused:
            raise DeviceRefused(f"{self.device}: {command!r}: the device says {content[-1]!r}")
        if content[0].upper() == command.upper():
            del content[0]
        return "\n".join(content[:-1])

    def _landmark(self) -> tuple[bytes, bytes]:
        mark = re.escape(self._mark.encode())
        # The empty line ends what another program may have left unfinished.
        return (
            f"\r\n{self._question}\r\n".encode(),
            rb"(?i)" + mark + rb"[^\n]*\n(?:[^\n]*\n)*?\s*done\r?\n(?:\r\n)?",
        )

"""Stanford Research laser controllers: four-letter words, and two last errors."""

import asyncio

from qkd_drivers.errors import DeviceProtocolError
from qkd_drivers.framing.answers import text
from qkd_drivers.framing.scpi import ScpiWire
from qkd_drivers.transports import Transport

ERROR_DELAY_S = 0.03
"""After a command until its error can be read: it is logged about 15 ms late."""


class SrsWire(ScpiWire):
    """``WORD value`` is silent; its error, if any, is then told by ``LEXE?`` or ``LCME?``."""

    async def query_boolean(self, command: str, true: str) -> bool:
        """Whether the answer is the word, or 1; a device may be set to answer either way."""
        answer = (await self.query(command)).upper()
        if not answer.isalnum():
            self.doubt()
            raise DeviceProtocolError(f"{self.device}: {command!r}: {answer!r} is no word")
        return answer in (true, "1")

    async def _error_queue(self, transport: Transport) -> list[str]:
        await asyncio.sleep(ERROR_DELAY_S)
        found = []
        for query, what in (("LEXE?", "execution"), ("LCME?", "command")):
            answer = text(await self._exchange(transport, f"{query}\n".encode(), rb"\n"))
            if not answer.isdecimal():
                raise DeviceProtocolError(f"{query!r}: {answer!r} is no error code")
            if int(answer):
                found.append(f"{what} error {int(answer)}")
        return found

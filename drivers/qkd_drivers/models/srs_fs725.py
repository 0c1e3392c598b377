"""SRS FS725 and the PRS10 rubidium oscillator inside it.

Two-letter commands as two public packages have them (an EPICS database for the FS725, a Python
library for the PRS10). Settings are answered by silence. At power-on the box sends its identity
unasked.
"""

import re
import time

from qkd_drivers.contract import FrequencyReference, Identity, Reading
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError
from qkd_drivers.framing import Dialect, LineWire, Trace
from qkd_drivers.framing.answers import leading_number
from qkd_drivers.transports import make_transport

_STATUS_BYTES = 6
_CASE_C_PER_V = 100.0
_DIALECT = Dialect(
    end=b"\r",
    # The identity alone could be the one that was sent unasked: the answer after it decides.
    landmark=(b"ID?\rLO?\r", rb"PRS[^\r\n]*[\r\n]+\d(?:\r\n?|\n)"),
    unasked=rb"PRS",
)


class SrsFs725(FrequencyReference):
    """One FS725 or PRS10 on a serial port."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self.restarts = 0
        """How often the box was heard to start anew."""
        transport = make_transport(address, default_baud=9600)
        self._wire = LineWire(transport, name, _DIALECT, trace, on_unasked=self._heard)

    async def connect(self) -> None:
        await self._wire.open()
        answer = await self._wire.ask("ID?", reply=rb"[^\r\n]+(?:\r\n?|\n)")
        found = re.match(r"PRS_?10_([\d.]+)", answer)
        if found is None:
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {answer!r}, "
                "not an FS725 or PRS10: check the address"
            )
        serial_number = re.search(r"(\d+)$", await self._wire.ask("SN?"))
        self.identity = Identity("PRS10", serial_number[1] if serial_number else "", found[1])

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        """The status bytes tell what happened since they were last read, by whomever."""
        now = time.time()
        found = {
            "case_c": Reading(await self._wire.ask_number("AD10?") * _CASE_C_PER_V, "°C", now),
            "frequency_offset": Reading(await self._wire.ask_number("SF?"), "1e-12", now),
        }
        for number, value in enumerate(await self._status(), 1):
            found[f"status_{number}"] = Reading(value, "bits", now)
        return found

    async def locked(self) -> bool:
        return await self._wire.ask_number("LO?") == 1

    async def set_discipline(self, on: bool) -> None:
        await self._wire.settle(f"PL {int(on)}", "PL?", int(on), tolerance=0)

    async def discipline(self) -> bool:
        return await self._wire.ask_number("PL?") != 0

    async def _status(self) -> list[int]:
        answer = await self._wire.ask("ST?")
        values = [leading_number(field) for field in answer.split(",")]
        if len(values) != _STATUS_BYTES or None in values:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: 'ST?': {answer!r} is no six status bytes")
        return [int(value) for value in values if value is not None]

    def _heard(self, line: str) -> None:
        self.restarts += 1

"""Quantum Composers 9530: a pulse generator with a time base and up to eight outputs.

Commands as the public driver of qmi has them. Every setting is answered ``ok`` or ``?n``.
"""

import re
import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, PulseGenerator, Reading
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError
from qkd_drivers.framing import Dialect, LineWire, Trace
from qkd_drivers.identity import scpi_identity
from qkd_drivers.transports import make_transport

_REFUSALS = {
    "?1": "incorrect prefix",
    "?2": "missing keyword",
    "?3": "invalid keyword",
    "?4": "missing parameter",
    "?5": "invalid parameter",
    "?6": "query only",
    "?7": "invalid query",
    "?8": "unavailable in its current state",
}
_DIALECT = Dialect(
    end=b"\r\n",
    landmark=(b"*IDN?\r\n", rb"(?:^|[\r\n])[^\r\n,]*(?:,[^\r\n,]*){3}(?:\r\n?|\n)"),
    refusal=r"\?\d+",
    explain=lambda answer: f"{answer!r}: {_REFUSALS.get(answer, 'an error of no known meaning')}",
)
_LIMITS = {
    "period_s": Limits(50e-9, 5000.0),
    "width_s": Limits(10e-9, 999.9),
    "delay_s": Limits(-99.9, 999.9),
    "amplitude_v": Limits(2.0, 20.0),
}
_MOST_OUTPUTS = 8
_SLACK = 1e-3  # of the last digit, for what binary fractions cannot express


class Qc9530(PulseGenerator):
    """One generator on a serial port or on its network module (TCP port 2101)."""

    static_limits: ClassVar[Mapping[str, Limits]] = {**_LIMITS, "channel": Limits(1, _MOST_OUTPUTS)}

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self.channel_count = 0
        self._wire = LineWire(make_transport(address, default_baud=38400), name, _DIALECT, trace)

    async def connect(self) -> None:
        await self._wire.open()
        self.identity = scpi_identity(await self._wire.ask("*IDN?"))
        if not re.match(r"95[0-9]{2}", self.identity.model):
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                "not a 9530: check the address"
            )
        names = (await self._wire.ask(":INST:CAT?")).split(",")
        if names[0].strip().upper() != "T0" or len(names) < 2:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: ':INST:CAT?': {names} is no list of outputs")
        self.channel_count = len(names) - 1

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        return {"period_s": Reading(await self.period_s(), "s", time.time())}

    async def limits(self, *, period_s: float | None = None) -> dict[str, Limits]:
        return dict(_LIMITS)

    async def set_period_s(self, seconds: float) -> None:
        # More digits than nanoseconds confuse the instrument.
        told = _decimal("period_s", seconds, digits=9)
        await self._wire.confirm(f":PULSE0:PER {told}")

    async def period_s(self) -> float:
        return await self._wire.ask_number(":PULSE0:PER?")

    async def set_width_s(self, channel: int, seconds: float) -> None:
        told = _decimal("width_s", seconds, digits=11)
        await self._wire.confirm(f"{self._output(channel)}:WIDT {told}")

    async def width_s(self, channel: int) -> float:
        return await self._wire.ask_number(f"{self._output(channel)}:WIDT?")

    async def set_delay_s(self, channel: int, seconds: float) -> None:
        told = _decimal("delay_s", seconds, digits=11)
        await self._wire.confirm(f"{self._output(channel)}:DEL {told}")

    async def delay_s(self, channel: int) -> float:
        return await self._wire.ask_number(f"{self._output(channel)}:DEL?")

    async def set_amplitude_v(self, channel: int, volts: float) -> None:
        told = _decimal("amplitude_v", volts, digits=3)
        # In the TTL mode the output level is fixed.
        await self._wire.confirm(f"{self._output(channel)}:OUTP:MODE ADJ")
        await self._wire.confirm(f"{self._output(channel)}:OUTP:AMPL {told}")

    async def amplitude_v(self, channel: int) -> float:
        return await self._wire.ask_number(f"{self._output(channel)}:OUTP:AMPL?")

    async def set_output(self, channel: int, on: bool) -> None:
        output = self._output(channel)
        if on and not await self._running():
            # The time base starts all outputs that are enabled: none but this one shall pulse.
            for other in range(1, self.channel_count + 1):
                await self._wire.confirm(f":PULSE{other}:STAT 0")
            await self._wire.confirm(f"{output}:STAT 1")
            await self._wire.confirm(":PULSE0:STAT 1")
        else:
            await self._wire.confirm(f"{output}:STAT {int(on)}")

    async def output(self, channel: int) -> bool:
        enabled = await self._wire.ask_number(f"{self._output(channel)}:STAT?") != 0
        return enabled and await self._running()

    async def _running(self) -> bool:
        return await self._wire.ask_number(":PULSE0:STAT?") != 0

    def _output(self, channel: int) -> str:
        Limits(1, self.channel_count).check("channel", channel)
        return f":PULSE{channel}"


def _decimal(name: str, value: float, *, digits: int) -> str:
    """ValueError outside the limits or between two steps of the instrument."""
    _LIMITS[name].check(name, value)
    told = f"{value:.{digits}f}"
    step = 10.0**-digits
    if abs(float(told) - value) > _SLACK * step + 1e-12 * abs(value):
        raise ValueError(f"{name} = {value:g} is no multiple of {step:g}")
    return told

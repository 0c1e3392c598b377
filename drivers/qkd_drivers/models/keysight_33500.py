"""Keysight (Agilent) 33500 and 33600: waveform generators, here for their pulses.

SCPI with an error queue, commands as in pymeasure ``agilent/agilent33500.py``. A pulse is put
against the time base by its phase; which way a positive phase moves it is not documented in what
we have read: ``phase=advances`` in the address says that it comes earlier.
"""

import re
import time

from qkd_drivers.contract import Identity, Limits, PulseGenerator, Reading
from qkd_drivers.errors import DeviceMismatch
from qkd_drivers.framing import ScpiWire, Trace
from qkd_drivers.identity import scpi_identity
from qkd_drivers.transports import make_transport, split_options

_SIGNS = {"delays": 1.0, "advances": -1.0}
_TURN_DEG = 360.0


class Keysight33500(PulseGenerator):
    """One generator with one or two outputs. Offsets and loads are left as they are."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "phase")
        way = options.get("phase", "delays")
        if way not in _SIGNS:
            raise ValueError(f"device address {address!r}: phase is delays or advances")
        self.name = name
        self.identity = Identity("")
        self.channel_count = 1
        self._sign = _SIGNS[way]
        self._wire = ScpiWire(make_transport(plain), name, trace)

    async def connect(self) -> None:
        await self._wire.open()
        self.identity = scpi_identity(await self._wire.query("*IDN?"))
        model = re.match(r"33[56]\d(\d)", self.identity.model)
        if model is None:
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                "not a 33500 or 33600: check the address"
            )
        # 33510, 33512, 33522, 33612, 33622 have two outputs.
        self.channel_count = 2 if model[1] in "02" else 1
        # Errors that an earlier user left must not be laid at our first command's door.
        await self._wire.errors()

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        return {"period_s": Reading(await self.period_s(), "s", time.time())}

    async def limits(self, *, period_s: float | None = None) -> dict[str, Limits]:
        """Of the first channel; that of the amplitude moves with offset and load."""
        held_s = await self._ask(1, "FUNC:PULS:PER")
        period_s = held_s if period_s is None else period_s
        width = await self._range(1, "FUNC:PULS:WIDT")
        return {
            "period_s": await self._range(1, "FUNC:PULS:PER"),
            # The longest pulse is shorter than the period by a constant.
            "width_s": Limits(width.minimum, width.maximum + period_s - held_s),
            "delay_s": Limits(0.0, period_s),
            "amplitude_v": await self._range(1, "VOLT"),
        }

    async def set_period_s(self, seconds: float) -> None:
        """A pulse longer than half the new period is shortened to that first."""
        for channel in range(1, self.channel_count + 1):
            (await self._range(channel, "FUNC:PULS:PER")).check("period_s", seconds)
            if await self._ask(channel, "FUNC:PULS:WIDT") > seconds / 2:
                await self._set(channel, "FUNC:PULS:WIDT", seconds / 2)
            await self._set(channel, "FUNC:PULS:PER", seconds)

    async def period_s(self) -> float:
        """That of the channel which is furthest from the first."""
        periods = [
            await self._ask(channel, "FUNC:PULS:PER")
            for channel in range(1, self.channel_count + 1)
        ]
        return max(periods, key=lambda period_s: abs(period_s - periods[0]))

    async def set_width_s(self, channel: int, seconds: float) -> None:
        (await self._range(channel, "FUNC:PULS:WIDT")).check("width_s", seconds)
        await self._set(channel, "FUNC:PULS:WIDT", seconds)

    async def width_s(self, channel: int) -> float:
        return await self._ask(channel, "FUNC:PULS:WIDT")

    async def set_delay_s(self, channel: int, seconds: float) -> None:
        period_s = await self._ask(channel, "FUNC:PULS:PER")
        Limits(0.0, period_s).check("delay_s", seconds)
        await self._wire.command("UNIT:ANGL DEG")
        await self._set(channel, "PHAS", self._sign * _TURN_DEG * seconds / period_s)
        await self._wire.command(f"SOUR{channel}:PHAS:SYNC")

    async def delay_s(self, channel: int) -> float:
        turns = self._sign * await self._ask(channel, "PHAS") / _TURN_DEG
        return (turns if turns >= 0 else turns + 1.0) * await self._ask(channel, "FUNC:PULS:PER")

    async def set_amplitude_v(self, channel: int, volts: float) -> None:
        self._check(channel)
        await self._wire.command(f"SOUR{channel}:VOLT:UNIT VPP")
        (await self._range(channel, "VOLT")).check("amplitude_v", volts)
        await self._set(channel, "VOLT", volts)

    async def amplitude_v(self, channel: int) -> float:
        return await self._ask(channel, "VOLT")

    async def set_output(self, channel: int, on: bool) -> None:
        self._check(channel)
        if on and (await self._wire.query(f"SOUR{channel}:FUNC?")).upper() != "PULS":
            # The shape changes with the output off: no other waveform must get out.
            await self._wire.command(f"OUTP{channel} OFF")
            await self._wire.command(f"SOUR{channel}:FUNC PULS")
        await self._wire.command(f"OUTP{channel} {'ON' if on else 'OFF'}")

    async def output(self, channel: int) -> bool:
        """Whether it is on and gives pulses."""
        self._check(channel)
        on = await self._wire.query_number(f"OUTP{channel}?") != 0
        return on and (await self._wire.query(f"SOUR{channel}:FUNC?")).upper() == "PULS"

    async def _set(self, channel: int, header: str, value: float) -> None:
        await self._wire.command(f"SOUR{channel}:{header} {value:.12G}")

    async def _ask(self, channel: int, header: str) -> float:
        self._check(channel)
        return await self._wire.query_number(f"SOUR{channel}:{header}?")

    async def _range(self, channel: int, header: str) -> Limits:
        self._check(channel)
        return Limits(
            await self._wire.query_number(f"SOUR{channel}:{header}? MIN"),
            await self._wire.query_number(f"SOUR{channel}:{header}? MAX"),
        )

    def _check(self, channel: int) -> None:
        Limits(1, self.channel_count).check("channel", channel)

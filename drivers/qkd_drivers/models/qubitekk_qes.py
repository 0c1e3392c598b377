"""Qubitekk QES 2.4: a pair source, its pump laser and its crystal's temperature in one box.

Commands as the maker's public Python driver has them. Settings are answered by nothing, and that
driver lets a second pass after each; temperatures are set in thousandths of a degree.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, PairSource, Reading
from qkd_drivers.doubtful import DoubtfulQuestions
from qkd_drivers.errors import DeviceMismatch, DeviceRefused, DeviceTripped
from qkd_drivers.framing import Dialect, LineWire, Trace
from qkd_drivers.framing.answers import leading_number
from qkd_drivers.ramp import STEP_S, ramp
from qkd_drivers.transports import make_transport, split_options

_LIMITS = {"temperature_c": Limits(10.0, 50.0), "current_a": Limits(0.020, 0.120)}
_STEP_A = 0.001
_DIALECT = Dialect(
    end=b"\r\n",
    # Heating or cooling is asked for nowhere else, and no other answer is one letter.
    landmark=(b"HORC?\r\n", rb"(?:^|[\r\n])[ \t]*[HC][ \t]*(?:\r\n?|\n)"),
    refusal=r"unknown command.*",
)


class QubitekkQes(PairSource):
    """One source on a serial port."""

    static_limits: ClassVar[Mapping[str, Limits]] = _LIMITS

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "pause_ms", "set_point")
        pause_ms = options.get("pause_ms", "1000")
        set_point = options.get("set_point", "asked")
        if not pause_ms.isdecimal() or set_point not in ("asked", "remembered"):
            raise ValueError(
                f"device address {address!r}: pause_ms is a number, set_point is asked or "
                "remembered"
            )
        self.name = name
        self.identity = Identity("")
        self._pause_s = int(pause_ms) / 1000
        self._remembers = set_point == "remembered"
        self._current_ma = 0.0
        self._wire = LineWire(make_transport(plain), name, _DIALECT, trace)

    async def connect(self) -> None:
        known = self.identity
        await self._wire.open()
        # There is no identity query: the box is known by a set point in thousandths of a degree.
        answer = await self._wire.ask("SETP?")
        number = leading_number(answer)
        if number is None or not 10_000 <= number <= 50_000:
            raise DeviceMismatch(
                f"{self.name}: the device at this address answers {answer!r} to 'SETP?'; "
                "is this a QES 2.4?"
            )
        doubtful = DoubtfulQuestions(unknown="unknown command")
        serial_number = await doubtful.ask("PLID?", self._wire.ask)
        self.identity = Identity("QES", serial_number or "", await self._wire.ask("FIRM?"))
        if self.identity != known:
            self._current_ma = 0.0  # another box; the one we know may still be lit at its current

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        ask_number = self._wire.ask_number
        return {
            "temperature_c": Reading(await self.temperature_c(), "°C", now),
            "pump_current_a": Reading(await ask_number("PLCR?") / 1000, "A", now),
            "tec_current_a": Reading(await ask_number("CURR?"), "A", now),
            "tec_voltage_v": Reading(await ask_number("VOLT?"), "V", now),
        }

    async def limits(self) -> dict[str, Limits]:
        return dict(_LIMITS)

    async def set_temperature_c(self, celsius: float) -> None:
        _LIMITS["temperature_c"].check("temperature_c", celsius)
        command = f":SETT {round(1000 * celsius)}"
        await self._tell(command)
        held_c = await self.temperature_set_point_c()
        if not abs(held_c - celsius) < 1e-3:
            raise DeviceRefused(f"{self.name}: {command!r}: the device still holds {held_c:g} °C")

    async def temperature_set_point_c(self) -> float:
        return await self._wire.ask_number("SETP?") / 1000

    async def temperature_c(self) -> float:
        return await self._wire.ask_number("TEMP?")

    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        """In steps of whole milliamperes, each followed by the pause that the box is left."""
        _LIMITS["current_a"].check("current_a", amperes)
        if abs(round(1000 * amperes) - 1000 * amperes) > 1e-6:
            raise ValueError(f"current_a = {amperes:g} is no multiple of 0.001")
        start, step_s = amperes, STEP_S
        if ramp_a_per_s > 0:
            start = max(await self.current_set_point_a(), _LIMITS["current_a"].minimum)
            step_s = max(STEP_S, self._pause_s, _STEP_A / ramp_a_per_s)
        await ramp(self._set_current, start, amperes, ramp_a_per_s, step_s=step_s)

    async def current_set_point_a(self) -> float:
        if self._remembers:
            return self._current_ma / 1000
        return await self._wire.ask_number("PLDC?") / 1000

    async def set_pump(self, on: bool) -> None:
        if on and (cause := await self.trip_cause()):
            raise DeviceTripped(f"{self.name}: the pump stays off: {cause}")
        command = ":PLON" if on else ":PLOF"
        await self._tell(command)
        if await self.pump() != on:
            if cause := await self.trip_cause():
                raise DeviceTripped(f"{self.name}: {command!r} has no effect: {cause}")
            raise DeviceRefused(f"{self.name}: {command!r} has no effect")

    async def pump(self) -> bool:
        return "APC" in (await self._wire.ask("PLST?")).upper()

    async def trip_cause(self) -> str:
        fault = await self._wire.ask_number("FAUL?")
        return "the crystal's temperature control failed" if fault else ""

    async def _set_current(self, amperes: float) -> None:
        milliamperes = round(1000 * amperes)
        command = f":PLDC {milliamperes}"
        await self._tell(command)
        self._current_ma = milliamperes
        held_a = await self.current_set_point_a()
        if not abs(1000 * held_a - milliamperes) < 0.5:
            raise DeviceRefused(f"{self.name}: {command!r}: the device still holds {held_a:g} A")

    async def _tell(self, command: str) -> None:
        await self._wire.tell(command)
        await asyncio.sleep(self._pause_s)
        # A complaint may have come, where a setting that was taken is answered by nothing.
        self._wire.doubt()

"""S-Fifteen SPDC driver: the board of an entangled-pair source.

Crystal heater, pump diode and the diode's Peltier cooler. Commands, ranges and the order of
switching as in pyS15 ``spdc_driver.py``. A board may drive the whole source, or the crystal's
heater alone beside a pump of another make: there is a driver for each.
"""

import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import CrystalOven, Identity, Instrument, Limits, PairSource, Reading
from qkd_drivers.errors import DeviceProtocolError, DeviceRefused, DeviceTripped
from qkd_drivers.framing import S15Wire, Trace
from qkd_drivers.identity import s15_identity, verify_model
from qkd_drivers.ramp import STEP_S, ramp
from qkd_drivers.transports import make_transport

HEATER_LOOP = 1
PELTIER_LOOP = 2
LASER_ON = 4
_HEATER_SUPPLY = 1
"""Of the Peltier cooler too."""
_LASER_SUPPLY = 2
_STEP_A = 0.001
"""At most, each `_STEP_S`: how the maker's program ramps the diode."""
_STEP_S = STEP_S
_HEATER_LIMITS = {"temperature_c": Limits(20.0, 100.0), "ramp_k_per_s": Limits(0.0, 1.0)}
_SOURCE_LIMITS = _HEATER_LIMITS | {
    "current_a": Limits(0.0, 0.097),
    "current_limit_a": Limits(0.0, 0.097),
    "diode_temperature_c": Limits(20.0, 50.0),
}


class _Board(Instrument):
    """What both drivers have in common: the wire, the crystal's heater, the way to darkness."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = S15Wire(make_transport(address), name, "SPDC", trace)

    async def connect(self) -> None:
        await self._wire.open()
        self.identity = s15_identity(await self._wire.query("*IDN?"), "SPDC")
        verify_model(self.name, self.identity, "SPDC")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return {
            "temperature_c": Reading(await self.temperature_c(), "°C", now),
            "heater_voltage_v": Reading(await self._wire.query_number("HVOLT?"), "V", now),
        }

    async def set_temperature_c(self, celsius: float) -> None:
        _HEATER_LIMITS["temperature_c"].check("temperature_c", celsius)
        await self._wire.set_number("HSETTEMP", celsius, tolerance=0.05)

    async def temperature_set_point_c(self) -> float:
        return await self._wire.query_number("HSETTEMP?")

    async def temperature_c(self) -> float:
        return await self._wire.query_number("HTEMP?")

    async def set_ramp_k_per_s(self, kelvin_per_second: float) -> None:
        _HEATER_LIMITS["ramp_k_per_s"].check("ramp_k_per_s", kelvin_per_second)
        await self._wire.set_number("HRATE", kelvin_per_second, tolerance=0.001, digits=4)

    async def ramp_k_per_s(self) -> float:
        return await self._wire.query_number("HRATE?")

    async def _lit(self) -> bool:
        return bool(await self._status() & LASER_ON and await self._supply() & _LASER_SUPPLY)

    async def _current_a(self) -> float:
        return await self._wire.query_number("LCURRENT?") / 1000

    async def _ramp_current(self, start: float, end: float, rate_a_per_s: float) -> None:
        """Never faster than the maker's program does it."""
        fastest = _STEP_A / _STEP_S
        rate_a_per_s = min(rate_a_per_s or fastest, fastest)
        await ramp(self._put_current, start, end, rate_a_per_s, step_s=_STEP_S)

    async def _put_current(self, amperes: float) -> None:
        await self._wire.set_number("LCURRENT", 1000 * amperes, tolerance=0.1)

    async def _cut_laser(self) -> None:
        """Off at once, and its supply too."""
        await self._wire.command("OFF")
        await self._set_switch("POWER", await self._supply() & ~_LASER_SUPPLY)

    async def _supply(self) -> int:
        return int(await self._wire.query_number("POWER?"))

    async def _status(self) -> int:
        answer = await self._wire.query("STATUS?")
        if not answer.isdecimal():
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: 'STATUS?': {answer!r} is no bit field")
        return int(answer)

    async def _set_switch(self, command: str, value: int) -> None:
        await self._wire.set_number(command, value, tolerance=0, digits=0)


class S15Spdc(_Board, CrystalOven):
    """The heater alone: the board's own laser is kept off."""

    static_limits: ClassVar[Mapping[str, Limits]] = _HEATER_LIMITS

    async def limits(self) -> dict[str, Limits]:
        return dict(_HEATER_LIMITS)

    async def set_heater(self, on: bool) -> None:
        if await self._lit():
            await self._ramp_current(await self._current_a(), 0.0, 0.0)
        if await self._status() & LASER_ON or await self._supply() & _LASER_SUPPLY:
            await self._cut_laser()
        if on:
            await self._set_switch("POWER", _HEATER_SUPPLY)
            await self._set_switch("HLOOP", 1)
        else:
            await self._set_switch("HLOOP", 0)
            await self._set_switch("POWER", 0)

    async def heater(self) -> bool:
        return bool(await self._status() & HEATER_LOOP and await self._supply() & _HEATER_SUPPLY)


class S15SpdcSource(_Board, PairSource):
    """The whole source: temperature loops, then the laser's supply, the laser, its ramp."""

    static_limits: ClassVar[Mapping[str, Limits]] = _SOURCE_LIMITS

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return await super().readings() | {
            "diode_temperature_c": Reading(await self.diode_temperature_c(), "°C", now),
            "peltier_voltage_v": Reading(await self._wire.query_number("PVOLT?"), "V", now),
        }

    async def limits(self) -> dict[str, Limits]:
        return _SOURCE_LIMITS | {"current_a": Limits(0.0, await self.current_limit_a())}

    async def set_temperature_control(self, on: bool) -> None:
        if not on and await self._lit():
            raise DeviceRefused(f"{self.name}: temperature control stays on while the pump is on")
        supply = await self._supply()
        if on:
            await self._set_switch("POWER", supply | _HEATER_SUPPLY)
        await self._set_switch("PLOOP", int(on))
        await self._set_switch("HLOOP", int(on))
        if not on:
            await self._set_switch("POWER", supply & ~_HEATER_SUPPLY)

    async def temperature_control(self) -> bool:
        loops = await self._status() & (HEATER_LOOP | PELTIER_LOOP)
        supplied = await self._supply() & _HEATER_SUPPLY
        return loops == HEATER_LOOP | PELTIER_LOOP and bool(supplied)

    async def set_diode_temperature_c(self, celsius: float) -> None:
        _SOURCE_LIMITS["diode_temperature_c"].check("diode_temperature_c", celsius)
        await self._wire.set_number("PSETTEMP", celsius, tolerance=0.05)

    async def diode_temperature_c(self) -> float:
        return await self._wire.query_number("PTEMP?")

    async def set_current_limit_a(self, amperes: float) -> None:
        """DeviceRefused below the present set-point: what a board makes of that is not known."""
        _SOURCE_LIMITS["current_limit_a"].check("current_limit_a", amperes)
        held_a = await self._current_a()
        if amperes < held_a - 1e-6:
            raise DeviceRefused(
                f"{self.name}: current_limit_a = {amperes:g} is below the current set-point, "
                f"{held_a:g} A: lower that first"
            )
        await self._wire.set_number("LLIMIT", 1000 * amperes, tolerance=0.1)

    async def current_limit_a(self) -> float:
        return await self._wire.query_number("LLIMIT?") / 1000

    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        """A lit diode is ramped in any case, by at most 1 mA each 50 ms."""
        Limits(0.0, await self.current_limit_a()).check("current_a", amperes)
        if await self._lit():
            await self._ramp_current(await self._current_a(), amperes, ramp_a_per_s)
        else:
            await self._put_current(amperes)

    async def current_set_point_a(self) -> float:
        return await self._current_a()

    async def set_pump(self, on: bool) -> None:
        """On: from no current up to the set-point. Off: at once."""
        if not on:
            await self._cut_laser()
            return
        if await self._lit():
            return
        if not await self.temperature_control():
            raise DeviceRefused(f"{self.name}: the pump stays off without temperature control")
        wanted_a = await self._current_a()
        await self._put_current(0.0)
        await self._set_switch("POWER", await self._supply() | _LASER_SUPPLY)
        await self._wire.command("ON")
        if not await self._lit():
            await self._cut_laser()
            raise DeviceTripped(f"{self.name}: the pump stays off, the board gives no cause")
        await self._ramp_current(0.0, wanted_a, 0.0)

    async def pump(self) -> bool:
        return await self._lit()

    async def trip_cause(self) -> str:
        """The board tells of no protection."""
        return ""

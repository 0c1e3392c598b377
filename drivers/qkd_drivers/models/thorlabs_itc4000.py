"""Thorlabs ITC4000 and CLD1015: laser diode current and thermo-electric cooler in one box.

SCPI with an error queue; SI units as long as UNIT is not touched. Over USBTMC, HiSLIP or a raw
socket, as the address says.
"""

import time

from qkd_drivers.contract import Identity, LaserDriver, Limits, Reading
from qkd_drivers.doubtful import DoubtfulQuestions
from qkd_drivers.errors import DeviceMismatch, DeviceRefused, DeviceTripped
from qkd_drivers.framing import ScpiWire, Trace
from qkd_drivers.identity import scpi_identity
from qkd_drivers.ramp import ramp
from qkd_drivers.transports import make_transport

MODELS = ("ITC4", "CLD1")
_PROTECTIONS = {
    "INTLock": "the interlock was opened",
    "KEYLock": "the key switch was locked",
    "OTEMp": "the diode got too warm",
}


class ThorlabsItc4000(LaserDriver):
    """One laser and temperature controller."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = ScpiWire(make_transport(address), name, trace)
        self._doubtful = DoubtfulQuestions(unknown="-113")

    async def connect(self) -> None:
        self._doubtful.forget()
        await self._wire.open()
        self.identity = scpi_identity(await self._wire.query("*IDN?"))
        if not self.identity.model.upper().startswith(MODELS):
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                "not an ITC4000 or CLD1015: check the address"
            )
        # Errors that an earlier user left must not be laid at our first command's door.
        await self._wire.errors()

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return {
            "temperature_c": Reading(await self.temperature_c(), "°C", now),
            "current_a": Reading(await self.current_a(), "A", now),
            "voltage_v": Reading(await self._wire.query_number("SENS4:VOLT:DATA?"), "V", now),
        }

    async def limits(self) -> dict[str, Limits]:
        return {
            "current_a": Limits(0.0, await self.current_limit_a()),
            "current_limit_a": await self._range("SOUR:CURR:LIM:AMPL"),
            "temperature_c": await self._range("SOUR2:TEMP:SPO"),
        }

    async def set_temperature_c(self, celsius: float) -> None:
        await self._wire.command(f"SOUR2:TEMP:SPO {celsius:.4f}")

    async def temperature_set_point_c(self) -> float:
        return await self._wire.query_number("SOUR2:TEMP:SPO?")

    async def temperature_c(self) -> float:
        return await self._wire.query_number("SENS2:TEMP:DATA?")

    async def set_temperature_control(self, on: bool) -> None:
        if not on and await self.laser():
            raise DeviceRefused(f"{self.name}: temperature control stays on while the laser is on")
        await self._wire.command(f"OUTP2:STAT {'ON' if on else 'OFF'}")

    async def temperature_control(self) -> bool:
        return await self._wire.query_number("OUTP2:STAT?") != 0

    async def set_current_limit_a(self, amperes: float) -> None:
        await self._wire.command(f"SOUR:CURR:LIM:AMPL {amperes:.6f}")

    async def current_limit_a(self) -> float:
        return await self._wire.query_number("SOUR:CURR:LIM:AMPL?")

    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        start = await self.current_set_point_a() if ramp_a_per_s > 0 else amperes
        await ramp(self._set_current, start, amperes, ramp_a_per_s)

    async def current_set_point_a(self) -> float:
        return await self._wire.query_number("SOUR:CURR?")

    async def current_a(self) -> float:
        return await self._wire.query_number("SENS3:CURR:DATA?")

    async def set_laser(self, on: bool) -> None:
        if not on:
            await self._wire.command("OUTP:STAT OFF")
            return
        if not await self.temperature_control():
            raise DeviceRefused(f"{self.name}: the laser stays off without temperature control")
        try:
            await self._wire.command("OUTP:STAT ON")
        except DeviceRefused as refusal:
            if cause := await self.trip_cause():
                raise DeviceTripped(f"{self.name}: the laser stays off: {cause}") from refusal
            if self._doubtful.unknown:  # it may be a protection, of which this device cannot tell
                raise DeviceTripped(f"{self.name}: the laser stays off: {refusal}") from refusal
            raise

    async def laser(self) -> bool:
        return await self._wire.query_number("OUTP:STAT?") != 0

    async def trip_cause(self) -> str:
        causes = [
            told
            for protection, told in _PROTECTIONS.items()
            if await self._doubtful.ask(f"OUTP:PROT:{protection}:TRIP?", self._wire.query_number)
        ]
        return ", ".join(causes)

    async def _set_current(self, amperes: float) -> None:
        await self._wire.command(f"SOUR:CURR {amperes:.6f}")

    async def _range(self, header: str) -> Limits:
        return Limits(
            await self._wire.query_number(f"{header}? MIN"),
            await self._wire.query_number(f"{header}? MAX"),
        )

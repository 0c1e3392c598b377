"""Coherent OBIS: a laser head that regulates its own power, on USB or behind its remote.

Commands as two public drivers have them (qudi-iqo-modules, a C++ library); status and fault bits
from the latter. The unit of the current is told by none of them: the address option
``current_unit`` says which it is here.
"""

import re
import time

from qkd_drivers.contract import Identity, LaserHead, Limits, Reading
from qkd_drivers.doubtful import DoubtfulQuestions
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError, DeviceTripped
from qkd_drivers.framing import ObisWire, Trace
from qkd_drivers.models.current_unit import take_current_unit
from qkd_drivers.transports import make_transport

_CLOSED = {"OK", "ON", "1"}
_FAULTS = {
    0x000001: "the base plate is too warm or too cold",
    0x000002: "the diode is too warm or too cold",
    0x000004: "its inside is too warm",
    0x000008: "its supply failed",
    0x000020: "the current was too high",
    0x000200: "it did not warm up in time",
    0x000400: "its cooler failed",
    0x001000: "the diode's temperature left its limits",
    0x002000: "it did not get ready",
    0x004000: "its photodiode failed",
    0x100000: "the power was too high",
}


class CoherentObis(LaserHead):
    """One laser head on a serial port."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        plain, self._ampere_per_unit = take_current_unit(address)
        self._wire = ObisWire(make_transport(plain), name, trace)
        self._doubtful = DoubtfulQuestions(unknown="ERR-100")

    async def connect(self) -> None:
        self._doubtful.forget()
        await self._wire.open()
        firmware = re.search(r"V[\d.]+", await self._wire.ask("*IDN?"))
        self.identity = Identity(
            await self._wire.ask("SYST:INF:MOD?"),
            await self._wire.ask("SYST:INF:SNUM?"),
            firmware[0] if firmware else "",
        )
        if "OBIS" not in self.identity.model.upper():
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                "not an OBIS: check the address"
            )

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        ask_number = self._wire.ask_number
        current = await ask_number("SOUR:POW:CURR?")
        return {
            "power_w": Reading(await self.power_w(), "W", now),
            "current_a": Reading(current * self._ampere_per_unit, "A", now),
            "diode_c": Reading(await ask_number("SOUR:TEMP:DIOD?"), "°C", now),
            "baseplate_c": Reading(await ask_number("SOUR:TEMP:BAS?"), "°C", now),
        }

    async def limits(self) -> dict[str, Limits]:
        return {
            "power_w": Limits(
                await self._wire.ask_number("SOUR:POW:LIM:LOW?"),
                await self._wire.ask_number("SOUR:POW:LIM:HIGH?"),
            )
        }

    async def set_power_w(self, watts: float) -> None:
        (await self.limits())["power_w"].check("power_w", watts)
        # Constant power: in any other mode the set-point would not be what regulates the laser.
        await self._wire.ask("SOUR:AM:INT CWP")
        await self._wire.ask(f"SOUR:POW:LEV:IMM:AMPL {watts:.6f}")

    async def power_set_point_w(self) -> float:
        return await self._wire.ask_number("SOUR:POW:LEV:IMM:AMPL?")

    async def power_w(self) -> float:
        return await self._wire.ask_number("SOUR:POW:LEV?")

    async def set_laser(self, on: bool) -> None:
        if not on:
            await self._wire.ask("SOUR:AM:STAT OFF")
            return
        if cause := await self.trip_cause():
            raise DeviceTripped(f"{self.name}: the laser stays off: {cause}")
        await self._wire.ask("SOUR:AM:STAT ON")
        if not await self.laser():
            cause = await self.trip_cause() or "the laser gives no cause"
            raise DeviceTripped(f"{self.name}: the laser stays off: {cause}")

    async def laser(self) -> bool:
        answer = await self._wire.ask("SOUR:AM:STAT?")
        if answer.upper() not in ("ON", "OFF"):
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: 'SOUR:AM:STAT?': {answer!r} is no state")
        return answer.upper() == "ON"

    async def trip_cause(self) -> str:
        causes = []
        if (await self._wire.ask("SYST:LOCK?")).upper() not in _CLOSED:
            causes.append("the interlock is open")
        answer = await self._doubtful.ask("SYST:FAUL?", self._wire.ask)
        if answer is None:
            return ", ".join(causes)
        try:
            fault = int(answer, 16)
        except ValueError:
            self._wire.doubt()
            raise DeviceProtocolError(
                f"{self.name}: 'SYST:FAUL?': {answer!r} is no hexadecimal number"
            ) from None
        known = [told for bit, told in _FAULTS.items() if fault & bit]
        causes += known or ([f"fault {answer}"] if fault else [])
        return ", ".join(causes)

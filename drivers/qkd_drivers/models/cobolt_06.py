"""Cobolt 06-01: a diode laser head that regulates its own power (MLD and DPL).

Commands as the public drivers of qmi and pylablib have them. They disagree on the unit of the
drive current (mA, A): the address option ``current_unit`` says which it is here.
"""

import math
import time

from qkd_drivers.contract import Identity, LaserHead, Limits, Reading
from qkd_drivers.doubtful import DoubtfulQuestions
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError, DeviceTripped
from qkd_drivers.framing import Dialect, LineWire, Trace
from qkd_drivers.models.current_unit import take_current_unit
from qkd_drivers.transports import make_transport

_DIALECT = Dialect(
    end=b"\r",
    # Nothing else that is asked for answers digits that are joined by a hyphen.
    landmark=(b"glm?\r", rb"[^\r\n]*\d-\d[^\r\n]*(?:\r\n?|\n)"),
    refusal=r"(syntax )?error.*",
)
_FAULTS = {
    1: "a temperature is out of range",
    3: "the interlock was opened",
    4: "the power could not be held",
}
_WAITS_FOR_KEY = 1


class Cobolt06(LaserHead):
    """One laser head on a serial port."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, self._ampere_per_unit = take_current_unit(address)
        self.name = name
        self.identity = Identity("")
        self._wire = LineWire(make_transport(plain), name, _DIALECT, trace)
        self._doubtful = DoubtfulQuestions(unknown="syntax error")

    async def connect(self) -> None:
        self._doubtful.forget()
        await self._wire.open()
        self.identity = Identity(
            await self._wire.ask("glm?"), await self._wire.ask("gsn?"), await self._wire.ask("gfv?")
        )
        if "-06-" not in self.identity.model:
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                "not a Cobolt of series 06: check the address"
            )

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        current = await self._wire.ask_number("i?")
        return {
            "power_w": Reading(await self.power_w(), "W", now),
            "current_a": Reading(current * self._ampere_per_unit, "A", now),
            "baseplate_c": Reading(await self._wire.ask_number("rbpt?"), "°C", now),
        }

    async def limits(self) -> dict[str, Limits]:
        most_mw = await self._doubtful.ask("gmlp?", self._wire.ask_number)
        return {"power_w": Limits(0.0, math.inf if most_mw is None else most_mw / 1000)}

    async def set_power_w(self, watts: float) -> None:
        (await self.limits())["power_w"].check("power_w", watts)
        # Constant power: in any other mode the set-point would not be what regulates the laser.
        await self._wire.confirm("cp")
        await self._wire.confirm(f"p {watts:.6f}")

    async def power_set_point_w(self) -> float:
        return await self._wire.ask_number("p?")

    async def power_w(self) -> float:
        return await self._wire.ask_number("pa?")

    async def set_laser(self, on: bool) -> None:
        if not on:
            await self._wire.confirm("l0")
            return
        if await self._flag("ilk?"):
            raise DeviceTripped(f"{self.name}: the laser stays off: the interlock is open")
        if await self._fault():
            await self._wire.confirm("cf")
        # With autostart the head runs through its own start, which l1 would not begin.
        await self._wire.confirm("@cob1" if await self._flag("@cobas?") else "l1")
        if not await self.laser():
            cause = await self.trip_cause() or "the laser gives no cause"
            raise DeviceTripped(f"{self.name}: the laser stays off: {cause}")

    async def laser(self) -> bool:
        return await self._flag("l?")

    async def trip_cause(self) -> str:
        causes = []
        if fault := await self._fault():
            causes.append(_FAULTS.get(fault, f"fault {fault}"))
        elif await self._flag("ilk?"):
            causes.append("the interlock is open")
        if await self._wire.ask_number("gom?") == _WAITS_FOR_KEY:
            causes.append("the laser waits for its key to be turned off and on")
        elif await self._flag("@cobas?") and not await self._flag("@cobasks?"):
            causes.append("the key switch is off")
        return ", ".join(causes)

    async def _fault(self) -> int:
        return int(await self._wire.ask_number("f?"))

    async def _flag(self, question: str) -> bool:
        answer = await self._wire.ask(question)
        if answer not in ("0", "1"):
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: {question!r}: {answer!r} is neither 0 nor 1")
        return answer == "1"

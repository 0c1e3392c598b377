"""Stanford Research LDC500, LDC501 and LDC502: laser diode current and thermo-electric cooler.

Commands as in pymeasure ``srs/ldc500series.py``; currents travel in mA. Over Ethernet, RS232 or
GPIB, as the address says.
"""

import time

from qkd_drivers.contract import Identity, LaserDriver, Limits, Reading
from qkd_drivers.errors import DeviceMismatch, DeviceRefused, DeviceTripped
from qkd_drivers.framing import SrsWire, Trace
from qkd_drivers.identity import scpi_identity
from qkd_drivers.ramp import ramp
from qkd_drivers.transports import make_transport

# Full scale of the current in the ranges LOW and HIGH.
_FULL_SCALE_MA = {
    "LDC500": (50.0, 100.0),
    "LDC501": (250.0, 500.0),
    "LDC502": (1000.0, 2000.0),
}


class SrsLdc500(LaserDriver):
    """One laser and temperature controller.

    It tells the state of its interlock, not what opened it: a cause that was seen is kept until
    the laser is switched on again.
    """

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = SrsWire(make_transport(address, default_baud=9600), name, trace)
        self._cause = ""

    async def connect(self) -> None:
        await self._wire.open()
        self.identity = scpi_identity(await self._wire.query("*IDN?"))
        if self.identity.model.upper() not in _FULL_SCALE_MA:
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                f"not one of {', '.join(_FULL_SCALE_MA)}: check the address"
            )
        # An error that an earlier user left must not be laid at our first command's door.
        await self._wire.errors()

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        ask = self._wire.query_number
        return {
            "temperature_c": Reading(await self.temperature_c(), "°C", now),
            "current_a": Reading(await self.current_a(), "A", now),
            "voltage_v": Reading(await ask("RVLD?"), "V", now),
            "cooler_current_a": Reading(await ask("TIRD?"), "A", now),
        }

    async def limits(self) -> dict[str, Limits]:
        low_ma, high_ma = _FULL_SCALE_MA[self.identity.model.upper()]
        wide = await self._wire.query_boolean("RNGE?", "HIGH")
        return {
            "current_a": Limits(0.0, await self.current_limit_a()),
            "current_limit_a": Limits(0.0, (high_ma if wide else low_ma) / 1e3),
            "temperature_c": Limits(
                await self._wire.query_number("TMIN?"), await self._wire.query_number("TMAX?")
            ),
        }

    async def set_temperature_c(self, celsius: float) -> None:
        await self._wire.command(f"TEMP {celsius:.4f}")

    async def temperature_set_point_c(self) -> float:
        return await self._wire.query_number("TEMP?")

    async def temperature_c(self) -> float:
        return await self._wire.query_number("TTRD?")

    async def set_temperature_control(self, on: bool) -> None:
        if not on and await self.laser():
            raise DeviceRefused(f"{self.name}: temperature control stays on while the laser is on")
        if on:
            await self._choose("TMOD", "CT")
        await self._wire.command(f"TEON {'ON' if on else 'OFF'}")

    async def temperature_control(self) -> bool:
        return await self._wire.query_boolean("TEON?", "ON")

    async def set_current_limit_a(self, amperes: float) -> None:
        """A set-point above is dragged down by the device."""
        await self._wire.command(f"SILM {1e3 * amperes:.4f}")

    async def current_limit_a(self) -> float:
        return await self._wire.query_number("SILM?") / 1e3

    async def set_current_a(self, amperes: float, *, ramp_a_per_s: float = 0.0) -> None:
        start = await self.current_set_point_a() if ramp_a_per_s > 0 else amperes
        await ramp(self._set_current, start, amperes, ramp_a_per_s)

    async def current_set_point_a(self) -> float:
        return await self._wire.query_number("SILD?") / 1e3

    async def current_a(self) -> float:
        return await self._wire.query_number("RILD?") / 1e3

    async def set_laser(self, on: bool) -> None:
        if not on:
            await self._wire.command("LDON OFF")
            return
        if not await self.temperature_control():
            raise DeviceRefused(f"{self.name}: the laser stays off without temperature control")
        if cause := await self._active_cause():
            raise DeviceTripped(f"{self.name}: the laser stays off: {cause}")
        await self._choose("SMOD", "CC")
        await self._wire.command("LDON ON")
        self._cause = ""

    async def laser(self) -> bool:
        return await self._wire.query_boolean("LDON?", "ON")

    async def trip_cause(self) -> str:
        await self._active_cause()
        return self._cause

    async def _active_cause(self) -> str:
        """What keeps the laser off now; remembered."""
        causes = []
        if not await self._wire.query_boolean("ILOC?", "CLOSED"):
            causes.append("the interlock was opened")
        low_c = await self._wire.query_number("TMIN?")
        high_c = await self._wire.query_number("TMAX?")
        if not low_c <= await self.temperature_c() <= high_c:
            causes.append("the diode's temperature left its limits")
        if causes:
            self._cause = ", ".join(causes)
        return ", ".join(causes)

    async def _choose(self, word: str, wanted: str) -> None:
        if (await self._wire.query(f"{word}?")).upper() != wanted:
            await self._wire.command(f"{word} {wanted}")

    async def _set_current(self, amperes: float) -> None:
        await self._wire.command(f"SILD {1e3 * amperes:.4f}")

"""S-Fifteen SPDC driver: the crystal oven of an entangled-pair source.

Commands as in pyS15 ``spdc_driver.py``. The box could drive a pump diode as well; that output is
switched off on every heater command and never on.
"""

import time

from qkd_drivers.contract import CrystalOven, Identity, Limits, Reading
from qkd_drivers.errors import DeviceProtocolError
from qkd_drivers.framing import S15Wire, Trace
from qkd_drivers.identity import s15_identity, verify_model
from qkd_drivers.transports import make_transport

HEATER_LOOP = 1
LASER_ON = 4
_HEATER_SUPPLY = 1
_LASER_SUPPLY = 2
_LIMITS = {
    "temperature_c": Limits(20.0, 100.0),
    "ramp_k_per_s": Limits(0.0, 1.0),
}


class S15Spdc(CrystalOven):
    """The heater of one SPDC driver on a serial port."""

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

    async def limits(self) -> dict[str, Limits]:
        return dict(_LIMITS)

    async def set_temperature_c(self, celsius: float) -> None:
        _LIMITS["temperature_c"].check("temperature_c", celsius)
        await self._wire.set_number("HSETTEMP", celsius, tolerance=0.05)

    async def temperature_set_point_c(self) -> float:
        return await self._wire.query_number("HSETTEMP?")

    async def temperature_c(self) -> float:
        return await self._wire.query_number("HTEMP?")

    async def set_ramp_k_per_s(self, kelvin_per_second: float) -> None:
        _LIMITS["ramp_k_per_s"].check("ramp_k_per_s", kelvin_per_second)
        await self._wire.set_number("HRATE", kelvin_per_second, tolerance=0.001, digits=4)

    async def ramp_k_per_s(self) -> float:
        return await self._wire.query_number("HRATE?")

    async def set_heater(self, on: bool) -> None:
        supply = await self._supply()
        if await self._status() & LASER_ON or supply & _LASER_SUPPLY:
            await self._wire.command("OFF")
            supply &= ~_LASER_SUPPLY
        if on:
            await self._set_switch("POWER", supply | _HEATER_SUPPLY)
            await self._set_switch("HLOOP", 1)
        else:
            await self._set_switch("HLOOP", 0)
            await self._set_switch("POWER", 0)

    async def heater(self) -> bool:
        return bool(await self._status() & HEATER_LOOP and await self._supply() & _HEATER_SUPPLY)

    async def _supply(self) -> int:
        return int(await self._wire.query_number("POWER?"))

    async def _status(self) -> int:
        answer = await self._wire.query("STATUS?")
        if not answer.isdecimal():
            raise DeviceProtocolError(f"{self.name}: 'STATUS?': {answer!r} is no bit field")
        return int(answer)

    async def _set_switch(self, command: str, value: int) -> None:
        await self._wire.set_number(command, value, tolerance=0, digits=0)

"""Thorlabs PM100D and its relatives (PM100A, PM101, PM103E, PM16, …): optical power meters.

SCPI with an error queue, commands as in qmi ``thorlabs/pm100d.py``. Those with Ethernet close a
connection on which nothing was said for 120 s, so a lost wire is opened again once.
"""

import math
import time

from qkd_drivers.contract import Identity, Limits, PowerMeter, Reading
from qkd_drivers.errors import DeviceMismatch
from qkd_drivers.framing import ReopeningScpiWire, Trace
from qkd_drivers.identity import scpi_identity
from qkd_drivers.transports import make_transport

_OVER_RANGE = 1e30  # SCPI-99 vol. 1, 7.2.1.4: 9.9E37 stands for infinity
_WAVELENGTH = "SENS:CORR:WAV"


class ThorlabsPm100d(PowerMeter):
    """One meter with its sensor, over USBTMC, HiSLIP or a raw socket."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = ReopeningScpiWire(make_transport(address), name, trace)

    async def connect(self) -> None:
        await self._wire.open()
        self.identity = scpi_identity(await self._wire.query("*IDN?"))
        if not self.identity.model.upper().startswith("PM1"):
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {self.identity.model!r}, "
                "not a PM100 or its relative: check the address"
            )
        # Errors that an earlier user left must not be laid at our first command's door.
        await self._wire.errors()

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        return {"power_w": Reading(await self.power_w(), "W", time.time())}

    async def limits(self) -> dict[str, Limits]:
        return {
            "wavelength_nm": Limits(
                await self._wire.query_number(f"{_WAVELENGTH}? MIN"),
                await self._wire.query_number(f"{_WAVELENGTH}? MAX"),
            )
        }

    async def set_wavelength_nm(self, nanometres: float) -> None:
        await self._wire.command(f"{_WAVELENGTH} {nanometres:.2f}")

    async def wavelength_nm(self) -> float:
        return await self._wire.query_number(f"{_WAVELENGTH}?")

    async def power_w(self) -> float:
        """Infinite where the sensor is over its range."""
        watts = await self._wire.query_number("MEAS:POW?")
        return math.inf if watts > _OVER_RANGE else watts

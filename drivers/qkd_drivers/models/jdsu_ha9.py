"""JDSU (JDS Fitel) HA9: a bench attenuator with a beam block.

Commands as several public drivers have them; the names are not those of IEEE 488.2 and settings
are answered by silence. It hangs on GPIB or a serial line, so any VISA resource may lead to it.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Attenuator, Identity, Limits, Reading
from qkd_drivers.errors import DeviceMismatch, DeviceTimeout
from qkd_drivers.framing import Dialect, LineWire, Trace
from qkd_drivers.transports import make_transport, split_options

SETTLING_S = 10.0
"""How long the motor may move at most."""
_BLIND_SETTLING_S = 2.0
_POLL_S = 0.02
_LIMITS = {"attenuation_db": Limits(0.0, 100.0)}
_RESOLUTION_DB = 0.05
_METRES = rb"[+ ]?(?:0?\.0000\d+|\d\.?\d*E-0?[67])\s*(?:\r\n?|\n)"


class JdsuHa9(Attenuator):
    """One HA9."""

    has_shutter = True
    static_limits: ClassVar[Mapping[str, Limits]] = _LIMITS

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "settled_bit", "shutter")
        settled_bit, shutter = options.get("settled_bit", "4"), options.get("shutter", "asked")
        if not settled_bit.isdecimal() or shutter not in ("asked", "remembered"):
            raise ValueError(
                f"device address {address!r}: settled_bit is a number, shutter is asked or "
                "remembered"
            )
        self.name = name
        self.identity = Identity("")
        self._settled_bit = int(settled_bit)
        self._remembers = shutter == "remembered"
        self._blocked = True
        transport = make_transport(plain, default_baud=9600)
        # Where old answers may still come, two in a row are what no old answer can be; GPIB would
        # not deliver the first of two.
        times = 2 if transport.late_replies else 1
        landmark = (b"WVL? MAX\n" * times, rb"(?i)" + _METRES * times)
        self._wire = LineWire(transport, name, Dialect(end=b"\n", landmark=landmark), trace)

    async def connect(self) -> None:
        self._blocked = True
        await self._wire.open()
        # Public drivers know of no identity query: the box is known by the range it can be set to.
        wavelengths = (await self.limits())["wavelength_nm"]
        if not 300 < wavelengths.minimum < wavelengths.maximum < 3000:
            raise DeviceMismatch(f"{self.name}: wavelengths {wavelengths}; is this an HA9?")
        self.identity = Identity(f"HA9 ({wavelengths.minimum:.0f} to {wavelengths.maximum:.0f} nm)")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return {"attenuation_db": Reading(await self.attenuation_db(), "dB", now)}

    async def limits(self) -> dict[str, Limits]:
        shortest_m = await self._wire.ask_number("WVL? MIN")
        longest_m = await self._wire.ask_number("WVL? MAX")
        return _LIMITS | {"wavelength_nm": Limits(1e9 * shortest_m, 1e9 * longest_m)}

    async def set_attenuation_db(self, decibels: float) -> None:
        _LIMITS["attenuation_db"].check("attenuation_db", decibels)
        await self._wire.settle(
            f"ATT {decibels:.2f} dB", "ATT?", decibels, tolerance=_RESOLUTION_DB
        )
        await self._settled()

    async def attenuation_db(self) -> float:
        return await self._wire.ask_number("ATT?")

    async def set_wavelength_nm(self, nanometres: float) -> None:
        (await self.limits())["wavelength_nm"].check("wavelength_nm", nanometres)
        await self._wire.settle(
            f"WVL {nanometres:.2f} NM", "WVL?", 1e-9 * nanometres, tolerance=0.1e-9
        )
        await self._settled()

    async def wavelength_nm(self) -> float:
        return 1e9 * await self._wire.ask_number("WVL?")

    async def set_blocked(self, blocked: bool) -> None:
        if self._remembers:
            await self._wire.tell(f"D{int(blocked)}")
        else:
            await self._wire.settle(f"D{int(blocked)}", "D?", int(blocked), tolerance=0)
        self._blocked = blocked

    async def blocked(self) -> bool:
        return self._blocked if self._remembers else await self._wire.ask_number("D?") != 0

    async def _settled(self) -> None:
        if not self._settled_bit:
            return await asyncio.sleep(_BLIND_SETTLING_S)
        deadline = time.monotonic() + SETTLING_S
        while not int(await self._wire.ask_number("CNB?")) & self._settled_bit:
            if time.monotonic() > deadline:
                raise DeviceTimeout(f"{self.name}: the motor did not settle in {SETTLING_S:g} s")
            await asyncio.sleep(_POLL_S)
        return None

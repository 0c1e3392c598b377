"""Acme PM1: a power meter on a serial line (9600 baud, lines end in CR LF).

``ID?`` answers ``ACME PM1 0042``, ``W?`` the power in µW, ``L?`` the wavelength in nm; ``L 810``
sets it and answers nothing. What the meter does not accept it answers with ``ERR``.
"""

import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.catalogue import Model
from qkd_drivers.contract import Identity, Limits, PowerMeter, Reading
from qkd_drivers.errors import DeviceMismatch
from qkd_drivers.framing import Dialect, LineWire, Trace
from qkd_drivers.transports import make_transport

_DIALECT = Dialect(end=b"\r\n", landmark=(b"ID?\r\n", rb"ACME[^\r\n]*\r\n"), refusal="ERR")
_WAVELENGTH = Limits(400.0, 1100.0)


class AcmePm1(PowerMeter):
    """One PM1."""

    static_limits: ClassVar[Mapping[str, Limits]] = {"wavelength_nm": _WAVELENGTH}

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = LineWire(make_transport(address, default_baud=9600), name, _DIALECT, trace)

    async def connect(self) -> None:
        await self._wire.open()
        maker, model, serial_number = [*(await self._wire.ask("ID?")).split(), "", "", ""][:3]
        if (maker, model) != ("ACME", "PM1"):
            raise DeviceMismatch(f"{self.name}: a {maker} {model} is at this address, no PM1")
        self.identity = Identity(model, serial_number)

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        return {"power_w": Reading(await self.power_w(), "W", time.time())}

    async def limits(self) -> dict[str, Limits]:
        return {"wavelength_nm": _WAVELENGTH}

    async def set_wavelength_nm(self, nanometres: float) -> None:
        _WAVELENGTH.check("wavelength_nm", nanometres)
        await self._wire.settle(f"L {nanometres:.1f}", "L?", nanometres, tolerance=0.1)

    async def wavelength_nm(self) -> float:
        return await self._wire.ask_number("L?")

    async def power_w(self) -> float:
        return await self._wire.ask_number("W?") * 1e-6


MODEL = Model("acme-pm1", "power_meter", "Acme PM1", ("serial",), "acme_pm1:AcmePm1")

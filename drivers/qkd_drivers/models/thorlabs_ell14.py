"""Thorlabs Elliptec ELL14 and ELL18: a rotation mount, one of up to sixteen on a serial port.

Commands as in pylablib ``elliptec.py``. The seat on the bus stands in the address
(``serial:/dev/…?bus=2``, a hexadecimal digit, 0 if none is given). A move cannot be stopped: a
cancelled one runs to its end, and the next request waits for that.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, Reading, Rotator
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError, DeviceRefused
from qkd_drivers.framing import ElliptecWire, Trace
from qkd_drivers.transports import make_shared_transport, split_options

MODELS = {0x0E: "ELL14", 0x12: "ELL18"}
PAUSE_BETWEEN_MOVES_S = 0.1
"""A move sooner than this after another may run to 0 instead (pylablib waits as long)."""
MOVE_TIMEOUT_S = 60.0
"""A slow mount takes 40 s to find its home."""
_TOLERANCE_DEG = 0.2
_AXIS = Limits(1, 1)


class ThorlabsEll14(Rotator):
    """One rotation mount. It does not tell whether it was homed: each connection homes anew."""

    static_limits: ClassVar[Mapping[str, Limits]] = {"positions_deg": Limits(0.0, 360.0)}
    axis_count = 1

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "bus")
        seat = options.get("bus", "0").upper()
        if not re.fullmatch("[0-9A-F]", seat):
            raise ValueError(f"device address {address!r}: bus is one hexadecimal digit")
        transport = make_shared_transport(plain, default_baud=9600)
        self.name = name
        self.identity = Identity("")
        self._wire = ElliptecWire(transport, seat, name, trace)
        self._counts_per_deg = 0.0
        self._travel_deg = 360.0
        self._homed = False
        self._stood_still_s = 0.0

    async def connect(self) -> None:
        self._homed = False
        await self._wire.open()
        told = (await self._wire.ask("in", reply="IN")).data
        if len(told) != 30:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: 'in': {told!r} is not 30 digits")
        # Type, serial number, year, firmware, hardware, travel, counts over the travel.
        model = int(told[0:2], 16)
        if model not in MODELS:
            raise DeviceMismatch(
                f"{self.name}: the device at this address is an Elliptec of type {model}, "
                "not an ELL14 or ELL18: check the address"
            )
        self.identity = Identity(MODELS[model], told[2:10], told[14:16])
        self._travel_deg = float(int(told[18:22], 16))
        self._counts_per_deg = int(told[22:30], 16) / max(1.0, self._travel_deg)
        if not self._counts_per_deg:
            raise DeviceProtocolError(f"{self.name}: 'in': {told!r} tells no counts")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        return {"position_deg": Reading(await self.position_deg(1), "°", time.time())}

    async def limits(self) -> dict[str, Limits]:
        return {"position_deg": Limits(0.0, self._travel_deg)}

    async def home(self, axis: int) -> None:
        _AXIS.check("axis", axis)
        await self._move("ho", "0", 0.0)
        self._homed = True

    async def homed(self, axis: int) -> bool:
        _AXIS.check("axis", axis)
        return self._homed

    async def move_to_deg(self, axis: int, degrees: float) -> None:
        _AXIS.check("axis", axis)
        Limits(0.0, self._travel_deg).check("position_deg", degrees)
        counts = round(degrees * self._counts_per_deg)
        await self._move("ma", f"{counts & 0xFFFFFFFF:08X}", degrees)

    async def position_deg(self, axis: int) -> float:
        _AXIS.check("axis", axis)
        return self._degrees((await self._wire.ask("gp", reply="PO")).data)

    async def _move(self, command: str, data: str, target_deg: float) -> None:
        await asyncio.sleep(self._stood_still_s + PAUSE_BETWEEN_MOVES_S - time.monotonic())
        try:
            answer = await self._wire.ask(command, data, reply="PO", timeout_s=MOVE_TIMEOUT_S)
        finally:
            self._stood_still_s = time.monotonic()
        stands_deg = self._degrees(answer.data)
        if abs(stands_deg - target_deg) > _TOLERANCE_DEG:
            raise DeviceRefused(
                f"{self.name}: {command!r}: it stands at {stands_deg:.2f}°, "
                f"not at {target_deg:.2f}°"
            )

    def _degrees(self, data: str) -> float:
        if len(data) != 8:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: {data!r} is no position")
        counts = int(data, 16)
        return (counts - (counts >> 31 << 32)) / self._counts_per_deg

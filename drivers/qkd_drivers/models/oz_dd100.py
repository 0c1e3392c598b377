"""OZ Optics DD-100-MC: a motor-driven attenuator.

Commands as two independent public drivers (qmi, pylablib) agree on. The motor must find its home
after each power-up before a loss can be set; that takes up to 40 s and sweeps the loss.
"""

import math
import re
import time

from qkd_drivers.contract import Attenuator, Identity, Limits, Reading
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError, DeviceRefused
from qkd_drivers.framing import OzWire, Trace
from qkd_drivers.framing.answers import leading_number
from qkd_drivers.transports import make_transport, split_options

HOMING_S = 60.0
"""How long homing may take at most."""
MOVE_S = 20.0
"""How long a change of the loss may take at most."""
_RESOLUTION_DB = 0.05


class OzDd100(Attenuator):
    """One DD-100-MC on a serial port."""

    has_shutter = False

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "home")
        home = options.get("home", "needed")
        if home not in ("needed", "always"):
            raise ValueError(f"device address {address!r}: home is needed or always, not {home!r}")
        self.name = name
        self.identity = Identity("")
        self._home_always = home == "always"
        self._home_first = False
        self._wire = OzWire(
            make_transport(plain, default_baud=9600), name, trace, landmark=("CD", "max atten")
        )

    async def connect(self) -> None:
        self._home_first = self._home_always
        await self._wire.open()
        # The box has no identity query: its configuration is known by its shape.
        try:
            maximum_db = (await self.limits())["attenuation_db"].maximum
        except (DeviceProtocolError, DeviceRefused) as error:
            raise DeviceMismatch(f"{error}; is this a DD-100-MC?") from error
        self.identity = Identity(f"DD-100-MC (up to {maximum_db:g} dB)")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        attenuation_db = await self.attenuation_db()
        if math.isnan(attenuation_db):
            return {}
        return {"attenuation_db": Reading(attenuation_db, "dB", now)}

    async def limits(self) -> dict[str, Limits]:
        answer = await self._wire.ask("CD")
        return {
            "attenuation_db": Limits(
                self._number("CD", answer, "IL"), self._number("CD", answer, "MAX ATTEN")
            )
        }

    async def set_attenuation_db(self, decibels: float) -> None:
        (await self.limits())["attenuation_db"].check("attenuation_db", decibels)
        if self._home_first or math.isnan(await self.attenuation_db()):
            await self._wire.ask("H", timeout_s=HOMING_S)
            self._home_first = False
        command = f"A{decibels:.2f}"
        await self._wire.ask(command, timeout_s=MOVE_S)
        held_db = await self.attenuation_db()
        if not abs(held_db - decibels) <= _RESOLUTION_DB:
            raise DeviceRefused(f"{self.name}: {command!r}: the device stands at {held_db:g} dB")

    async def attenuation_db(self) -> float:
        try:
            answer = await self._wire.ask("D")
        except DeviceRefused:
            return math.nan  # it has not been homed
        if re.search(r"(?im)^ATTEN:\s*[a-z?]", answer):
            return math.nan
        return self._number("D", answer, "ATTEN")

    async def set_wavelength_nm(self, nanometres: float) -> None:
        raise DeviceRefused(f"{self.name}: the box has one calibration: leave wavelength_nm away")

    async def wavelength_nm(self) -> float:
        return 0.0

    async def set_blocked(self, blocked: bool) -> None:
        raise DeviceRefused(f"{self.name}: the box has no shutter")

    async def blocked(self) -> bool:
        return False

    def _number(self, asked: str, answer: str, field: str) -> float:
        found = re.search(rf"(?im)^{field}:(.*)$", answer)
        number = leading_number(found[1]) if found else None
        if number is None:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: {asked!r}: {answer!r} has no {field}")
        return number

"""OZ Optics EPC-400: four fibre squeezers moved by voltages.

Commands as two independent public drivers (qmi, pylablib) agree on. ``SAVE`` is never sent: the
box keeps its settings in flash memory that wears.
"""

import re
import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, PolarisationController, Reading
from qkd_drivers.errors import DeviceMismatch, DeviceProtocolError, DeviceRefused
from qkd_drivers.framing import OzWire, Trace
from qkd_drivers.transports import make_transport

VOLTAGE_LIMITS_MV = Limits(-5000, 5000)


class OzEpc400(PolarisationController):
    """One EPC-400 on a serial port."""

    channel_count = 4
    static_limits: ClassVar[Mapping[str, Limits]] = {"voltages_mv": VOLTAGE_LIMITS_MV}

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        # The waveform is asked for nowhere else, so its answer cannot be an old one.
        self._wire = OzWire(
            make_transport(address, default_baud=9600),
            name,
            trace,
            landmark=("WF?", "waveform"),
        )

    async def connect(self) -> None:
        await self._wire.open()
        # The box has no identity query: its answer to V? is known by its shape.
        try:
            channels = len(await self.voltages_mv())
        except DeviceProtocolError as error:
            raise DeviceMismatch(f"{error}; is this an EPC-400?") from error
        self.identity = Identity(f"EPC-400 ({channels} channels)")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return {
            f"voltage_{channel}_mv": Reading(value, "mV", now)
            for channel, value in enumerate(await self.voltages_mv(), 1)
        }

    async def limits(self) -> dict[str, Limits]:
        return {"voltage_mv": VOLTAGE_LIMITS_MV}

    async def voltages_mv(self) -> tuple[int, ...]:
        answer = await self._wire.ask("V?")
        found = dict(re.findall(r"CH(\d)\s*([+-]?\d+)", answer))
        if "mv" not in answer.lower() or sorted(found) != ["1", "2", "3", "4"]:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: 'V?': {answer!r} is no list of four voltages")
        return tuple(int(found[channel]) for channel in sorted(found))

    async def set_voltage_mv(self, channel: int, millivolts: int) -> None:
        Limits(1, self.channel_count).check("channel", channel)
        VOLTAGE_LIMITS_MV.check("voltage_mv", millivolts)
        await self._setting(f"V{channel},{millivolts}")

    async def hold(self) -> None:
        await self._setting("MDC")

    async def _setting(self, command: str) -> None:
        if complaint := await self._wire.ask(command):
            raise DeviceRefused(f"{self.name}: {command!r}: the device says {complaint!r}")

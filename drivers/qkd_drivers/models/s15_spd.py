"""S-Fifteen SPD: an avalanche photodiode module with bias, threshold, cooling and counter.

Commands as in pyS15 ``single_photon_detector.py``. The box tells no limits; those below are what
its module holds at most, and the read-back after each setting shows what the box accepted.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, Reading, SinglePhotonDetector
from qkd_drivers.framing import S15Wire, Trace
from qkd_drivers.identity import s15_identity, verify_model
from qkd_drivers.transports import make_transport

GATE_MARGIN_S = 2.0
_BIAS_SETTLING_S = 0.1
_LIMITS = {
    "bias_voltage_v": Limits(0.0, 500.0),
    "threshold_v": Limits(-2.0, 2.0),
    "temperature_c": Limits(-60.0, 30.0),
}


class S15Spd(SinglePhotonDetector):
    """One SPD module on a serial port."""

    static_limits: ClassVar[Mapping[str, Limits]] = _LIMITS

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        self._wire = S15Wire(make_transport(address), name, "SPD", trace)
        self._gate_ms = 0

    async def connect(self) -> None:
        self._gate_ms = 0
        await self._wire.open()
        self.identity = s15_identity(await self._wire.query("*IDN?"), "SPD")
        verify_model(self.name, self.identity, "SPD", not_containing="SPDC")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return {
            "bias_voltage_v": Reading(await self.bias_voltage_v(), "V", now),
            "temperature_c": Reading(await self.temperature_c(), "°C", now),
        }

    async def limits(self) -> dict[str, Limits]:
        return dict(_LIMITS)

    async def set_bias_voltage_v(self, volts: float) -> None:
        _LIMITS["bias_voltage_v"].check("bias_voltage_v", volts)
        await self._wire.set_number("HVOLT", volts, tolerance=0.5)
        await asyncio.sleep(_BIAS_SETTLING_S)

    async def bias_voltage_v(self) -> float:
        return await self._wire.query_number("HVOLT?")

    async def set_threshold_v(self, volts: float) -> None:
        _LIMITS["threshold_v"].check("threshold_v", volts)
        await self._wire.set_number("THRESHVOLT", volts, tolerance=0.02)

    async def threshold_v(self) -> float:
        return await self._wire.query_number("THRESHVOLT?")

    async def set_temperature_c(self, celsius: float) -> None:
        _LIMITS["temperature_c"].check("temperature_c", celsius)
        await self._wire.set_number("SETTEMP", celsius, tolerance=0.1)

    async def temperature_set_point_c(self) -> float:
        return await self._wire.query_number("SETTEMP?")

    async def temperature_c(self) -> float:
        return await self._wire.query_number("TEMP?")

    async def set_cooling(self, on: bool) -> None:
        await self._wire.set_number("LOOP", int(on), tolerance=0, digits=0)

    async def cooling(self) -> bool:
        return await self._wire.query_number("LOOP?") != 0

    async def counts(self, gate_s: float) -> int:
        gate_ms = round(1000 * gate_s)
        Limits(1, 65535).check("gate in ms", gate_ms)
        if gate_ms != self._gate_ms:
            await self._wire.set_number("TIME", gate_ms, tolerance=0, digits=0)
            self._gate_ms = gate_ms
        return int(await self._wire.query_number("COUNTS?", timeout_s=gate_s + GATE_MARGIN_S))

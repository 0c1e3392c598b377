"""ID Quantique ID120: a visible-light avalanche diode with bias, threshold, cooling and counter.

Commands as in the public Instrumental driver ``spad/id120.py``. Values on the wire are integers in
µV, ms and thousandths of a degree; ranges are asked for. The unit of the dead time is doubtful
(the public driver says µs, its range fits ns): ``deadtime=us`` in the address says otherwise.
"""

import asyncio
import re
import time
from dataclasses import dataclass

from qkd_drivers.contract import Identity, Limits, Reading, SinglePhotonDetector
from qkd_drivers.errors import DeviceTripped
from qkd_drivers.framing import IdqWire, Trace
from qkd_drivers.identity import verify_model
from qkd_drivers.transports import make_transport, split_options

_DEAD_TIME_UNITS_S = {"ns": 1e-9, "us": 1e-6}
_COUNTER_MARGIN_S = 0.1


@dataclass(frozen=True)
class _Range:
    """What a setting may be, in the units of the wire."""

    minimum: int
    maximum: int
    step: int = 1

    def nearest(self, value: float) -> int:
        return self.minimum + self.step * round((value - self.minimum) / self.step)

    def limits(self, scale: float) -> Limits:
        return Limits(self.minimum / scale, self.maximum / scale)


# Of the public driver, for a device that does not tell its ranges.
_RANGES = {
    "BIAS:CAPABILITY?": _Range(0, 250_000_000, 80_000),
    "THRESHOLD:CAPABILITY?": _Range(0, 1_047_000, 500),
    "REG:TEMP_SET_POINT_CAPABILITY?": _Range(-50_000, -10_000, 1_000),
    "COUNTERS:INTEGRATION_TIME_CAPABILITY?": _Range(200, 100_000, 200),
}
_MICRO, _MILLI = 1e6, 1e3


class IdqId120(SinglePhotonDetector):
    """One ID120 over USBTMC (as a VISA resource) or RS232."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        plain, options = split_options(address, "deadtime")
        unit = options.get("deadtime", "ns")
        if unit not in _DEAD_TIME_UNITS_S:
            raise ValueError(f"device address {address!r}: deadtime is ns or us")
        self.name = name
        self.identity = Identity("")
        self._dead_time_unit_s = _DEAD_TIME_UNITS_S[unit]
        self._wire = IdqWire(make_transport(plain), name, trace)
        self._ranges: dict[str, _Range] = {}

    async def connect(self) -> None:
        self._ranges.clear()
        await self._wire.open()
        model = await self._wire.query("INFO:PRODUCT_NAME?")
        verify_model(self.name, Identity(model), "ID120")
        self.identity = Identity(
            model,
            await self._wire.query("INFO:PRODUCT_SERIAL_NUMBER?"),
            await self._wire.query("INFO:FIRMWARE_VERSION?"),
        )

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        ask = self._wire.query_integer
        dead_time_s = await ask("DEADTIME:TIME?") * self._dead_time_unit_s
        return {
            "bias_voltage_v": Reading(await ask("BIAS:VOLTAGE?") / _MICRO, "V", now),
            "temperature_c": Reading(await self.temperature_c(), "°C", now),
            "rate_cps": Reading(await ask("COUNTERS:DETECTION_FREQ?"), "1/s", now),
            "dead_time_s": Reading(dead_time_s, "s", now),
        }

    async def limits(self) -> dict[str, Limits]:
        return {
            "bias_voltage_v": (await self._range("BIAS:CAPABILITY?")).limits(_MICRO),
            "threshold_v": (await self._range("THRESHOLD:CAPABILITY?")).limits(_MICRO),
            "temperature_c": (await self._range("REG:TEMP_SET_POINT_CAPABILITY?")).limits(_MILLI),
        }

    async def set_bias_voltage_v(self, volts: float) -> None:
        await self._set("BIAS:VOLTAGE", "BIAS:CAPABILITY?", "bias_voltage_v", volts, _MICRO)
        await self._check_bias()

    async def bias_voltage_v(self) -> float:
        """DeviceTripped while the supply reports an error."""
        await self._check_bias()
        return await self._wire.query_integer("BIAS:VOLTAGE?") / _MICRO

    async def set_threshold_v(self, volts: float) -> None:
        await self._set("THRESHOLD:VOLTAGE", "THRESHOLD:CAPABILITY?", "threshold_v", volts, _MICRO)

    async def threshold_v(self) -> float:
        return await self._wire.query_integer("THRESHOLD:VOLTAGE?") / _MICRO

    async def set_temperature_c(self, celsius: float) -> None:
        ranges = "REG:TEMP_SET_POINT_CAPABILITY?"
        await self._set("REG:TEMP_SET_POINT", ranges, "temperature_c", celsius, _MILLI)

    async def temperature_set_point_c(self) -> float:
        return await self._wire.query_integer("REG:TEMP_SET_POINT?") / _MILLI

    async def temperature_c(self) -> float:
        return await self._wire.query_integer("REG:MEASURED_TEMP?") / _MILLI

    async def set_cooling(self, on: bool) -> None:
        await self._wire.set("REG:RUN", on)

    async def cooling(self) -> bool:
        return await self._wire.query_boolean("REG:RUN?")

    async def counts(self, gate_s: float) -> int:
        """Of one integration period that began after the call."""
        header = "COUNTERS:INTEGRATION_TIME"
        await self._set(header, f"{header}_CAPABILITY?", "gate_s", gate_s, _MILLI)
        # The counter runs by itself: the period under way when asked is not ours.
        await asyncio.sleep(2 * gate_s + _COUNTER_MARGIN_S)
        return await self._wire.query_integer("COUNTERS:DETECTION_COUNT?")

    async def _check_bias(self) -> None:
        if await self._wire.query_boolean("BIAS:ERROR_STATUS?"):
            raise DeviceTripped(f"{self.name}: the bias supply reports an error")

    async def _set(
        self, header: str, capability: str, name: str, value: float, scale: float
    ) -> None:
        allowed = await self._range(capability)
        allowed.limits(scale).check(name, value)
        await self._wire.set(header, allowed.nearest(value * scale))

    async def _range(self, capability: str) -> _Range:
        """Minimum, maximum and step, as the device tells them."""
        if capability not in self._ranges:
            answer = await self._wire.query(capability)
            numbers = [int(number) for number in re.findall(r"[+-]?\d+", answer)]
            told = len(numbers) >= 2 and numbers[0] < numbers[1]
            self._ranges[capability] = _Range(*numbers[:3]) if told else _RANGES[capability]
        return self._ranges[capability]

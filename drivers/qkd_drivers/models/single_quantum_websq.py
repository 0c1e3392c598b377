"""Single Quantum Eos behind WebSQ: superconducting nanowires, with bias, trigger and counters.

Labels and commands as in the maker's ``WebSQControl.py`` and qcodes' ``SingleQuantum.py``: µA, mV
and ms on port 12000, a line of counts a measurement period on port 12345.
"""

import math
import re
import time
from collections.abc import Callable
from typing import Any

from qkd_drivers.contract import Identity, Limits, NanowireDetectors, Reading
from qkd_drivers.errors import DeviceError, DeviceMismatch, DeviceProtocolError, DeviceTimeout
from qkd_drivers.framing import Trace, WebsqWire
from qkd_drivers.framing.websq import plain
from qkd_drivers.transports import make_transport, split_options

_MICRO, _MILLI = 1e6, 1e3
_BIAS_LIMITS = Limits(0.0, 100e-6)
_TRIGGER_LIMITS = Limits(-1.0, 1.0)
_BIAS_STEP_A = 5e-8
_TRIGGER_STEP_V = 1e-3
_COUNTS_MARGIN_S = 2.0
_COUNTS = ("per_period", "per_second")


class SingleQuantumWebsq(NanowireDetectors):
    """One controller with its channels."""

    channel_count = 0

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        control, options = split_options(address, "counts", "counts_port")
        host = control.removeprefix("tcp:").rpartition(":")[0]
        self._counts_are = options.get("counts", _COUNTS[0])
        counts = f"tcp:{host}:{options.get('counts_port', '12345')}"
        if not control.startswith("tcp:") or self._counts_are not in _COUNTS:
            raise ValueError(
                f"device address {address!r}: want tcp:host:12000, counts is one of "
                f"{', '.join(_COUNTS)}"
            )
        self.name = name
        self.identity = Identity("")
        self._wire = WebsqWire(make_transport(control), name, trace)
        self._counts_wire = make_transport(counts)
        self._limits: dict[str, Limits] = {}

    async def connect(self) -> None:
        await self._wire.open()
        try:
            told = await self._wire.labels("NumberOfDetectors", "BiasCurrent", "TriggerLevel")
        except (DeviceTimeout, DeviceProtocolError) as error:
            raise DeviceMismatch(f"{error}; is this a WebSQ?") from error
        count = plain(told["NumberOfDetectors"])
        if not isinstance(count, int | float) or not 1 <= count <= 64:
            raise DeviceMismatch(f"{self.name}: {count!r} is no number of detectors")
        self.channel_count = round(count)
        self._limits = {
            "bias_current_a": _bounds(told["BiasCurrent"], _MICRO, _BIAS_LIMITS),
            "trigger_v": _bounds(told["TriggerLevel"], _MILLI, _TRIGGER_LIMITS),
        }
        # The box tells neither model nor serial number.
        self.identity = Identity(f"WebSQ ({self.channel_count} channels)")

    async def close(self) -> None:
        await self._counts_wire.close()
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        currents_a = await self.bias_currents_a()
        rates_hz = await self.count_rates_hz()
        now = time.time()
        pairs = (("bias_current_{}_a", "A", currents_a), ("rate_{}_cps", "1/s", rates_hz))
        return {
            name.format(channel): Reading(value, unit, now)
            for name, unit, values in pairs
            for channel, value in enumerate(values, 1)
        }

    async def limits(self) -> dict[str, Limits]:
        return dict(self._limits)

    async def set_bias_currents_a(self, amperes: tuple[float, ...]) -> None:
        await self._set_all(
            "SetAllBiasCurrents", "BiasCurrent", "bias_current_a", amperes, _MICRO, _BIAS_STEP_A
        )

    async def bias_currents_a(self) -> tuple[float, ...]:
        return await self._all("BiasCurrent", _MICRO)

    async def set_triggers_v(self, volts: tuple[float, ...]) -> None:
        await self._set_all(
            "SetAllTriggerLevels", "TriggerLevel", "trigger_v", volts, _MILLI, _TRIGGER_STEP_V
        )

    async def triggers_v(self) -> tuple[float, ...]:
        return await self._all("TriggerLevel", _MILLI)

    async def set_enabled(self, on: bool) -> None:
        def same(held: object) -> bool:
            return bool(held) == on

        await self._wire.set("DetectorEnable", "DetectorEnable", on, same)

    async def enabled(self) -> bool:
        return bool(plain((await self._wire.labels("DetectorEnable"))["DetectorEnable"]))

    async def count_rates_hz(self) -> tuple[float, ...]:
        """Of the next measurement period to end."""
        told = await self._wire.labels("InptMeasurementPeriod")
        period_s = float(self._numbers(told["InptMeasurementPeriod"])[0]) / _MILLI
        try:
            counts = await self._next_counts(period_s)
        except DeviceError as error:
            raise error.about(self.name, "counts") from error
        scale = 1.0 if self._counts_are == "per_second" else 1.0 / period_s
        return tuple(count * scale for count in counts)

    async def _next_counts(self, period_s: float) -> list[float]:
        """A connection of its own each time: lines that nobody reads would pile up in the box."""
        wire = self._counts_wire
        await wire.open()
        try:
            for _ in range(2):  # the first line may have lost its head
                line = await wire.read_until(rb"\n", timeout_s=period_s + _COUNTS_MARGIN_S)
                fields = re.split(rb"\s*,\s*", line.strip())
                if len(fields) == self.channel_count + 1:
                    return [_number(field) for field in fields][1:]
        finally:
            await wire.close()
        raise DeviceProtocolError(f"{line!r} is no time and {self.channel_count} counts")

    async def _set_all(
        self,
        command: str,
        label: str,
        name: str,
        values: tuple[float, ...],
        scale: float,
        step: float,
    ) -> None:
        if len(values) != self.channel_count:
            raise ValueError(
                f"{name}: {len(values)} values for {self.channel_count} channels of {self.name}"
            )
        for value in values:
            self._limits[name].check(name, value)
        told = [round(value * scale, 6) for value in values]
        await self._wire.set(command, label, told, self._close_to(told, step * scale))

    def _close_to(self, told: list[float], tolerance: float) -> Callable[[object], bool]:
        def same(held: object) -> bool:
            found = self._numbers(held)
            return len(found) == len(told) and all(
                abs(a - b) <= tolerance for a, b in zip(found, told, strict=True)
            )

        return same

    async def _all(self, label: str, scale: float) -> tuple[float, ...]:
        held = self._numbers((await self._wire.labels(label))[label])
        if len(held) != self.channel_count:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: {label}: {held} are not of every channel")
        return tuple(value / scale for value in held)

    def _numbers(self, told: object) -> list[float]:
        value = plain(told)
        values: list[Any] = value if isinstance(value, list) else [value]
        if not all(isinstance(each, int | float) for each in values):
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: {value!r} are no numbers")
        return [float(each) for each in values]


def _bounds(told: object, scale: float, default: Limits) -> Limits:
    """The range that a label comes with, else the default."""
    bounds = told.get("bounds") if isinstance(told, dict) else None
    if isinstance(bounds, list) and len(bounds) == 2:
        low, high = bounds
        if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
            return Limits(low / scale, high / scale)
    return default


def _number(field: bytes) -> float:
    try:
        value = float(field)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise DeviceProtocolError(f"{field!r} is no time and no count")
    return value

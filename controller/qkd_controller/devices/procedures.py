"""How each kind of device is driven to its set-points, watched, and brought to rest.

Driving is idempotent: it is what bring-up, reconnection and a changed set-point all do.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from qkd_controller.devices.set_points import (
    DetectorSetPoints,
    LaserSetPoints,
    OvenSetPoints,
    PolarisationSetPoints,
    SetPoints,
    TaggerSetPoints,
)
from qkd_drivers.contract import (
    CrystalOven,
    Instrument,
    LaserDriver,
    PolarisationController,
    SinglePhotonDetector,
    TimeTagger,
)
from qkd_drivers.errors import DeviceTimeout, DeviceTripped

_EXCURSION = 3.0  # a settled temperature may wander this many settling tolerances


@dataclass(frozen=True)
class Observation:
    """A quantity as found, and as wanted."""

    name: str
    value: float
    desired: float
    tolerance: float

    @property
    def differs(self) -> bool:
        return not abs(self.value - self.desired) <= self.tolerance

    def __str__(self) -> str:
        return f"{self.name} is {self.value:g}, wanted {self.desired:g}"


class Procedure(ABC):
    """The handling of one device."""

    @abstractmethod
    async def drive(self, *, rearmed: bool = False) -> None:
        """Brings the device to its set-points and returns once it has settled there.

        Raises DeviceTripped if a protection forbids it; with rearmed, protections that acted
        before are taken as seen by the operator.
        """

    @abstractmethod
    async def observe(self) -> list[Observation]:
        """Reads back; raises DeviceTripped if a protection has acted."""

    async def make_safe(self) -> None:
        """After a trip: the dangerous output off; most kinds have none."""
        return

    async def rest(self) -> None:
        """At the end of operation: outputs off, in the safe order; some kinds have none."""
        return


def procedure_for(device: Instrument, set_points: SetPoints) -> Procedure:
    """The procedure of a device of any kind."""
    match device:
        case TimeTagger():
            return _Tagger(device, cast("TaggerSetPoints", set_points))
        case SinglePhotonDetector():
            return _Detector(device, cast("DetectorSetPoints", set_points))
        case LaserDriver():
            return _Laser(device, cast("LaserSetPoints", set_points))
        case CrystalOven():
            return _Oven(device, cast("OvenSetPoints", set_points))
        case PolarisationController():
            return _Polarisation(device, cast("PolarisationSetPoints", set_points))
    raise ValueError(f"{device.name} is of no known kind")


class _Tagger(Procedure):
    def __init__(self, device: TimeTagger, wanted: TaggerSetPoints) -> None:
        self._device = device
        self._wanted = wanted

    async def drive(self, *, rearmed: bool = False) -> None:
        await self._device.configure(
            level=self._wanted.level, reference_clock=self._wanted.reference_clock
        )

    async def observe(self) -> list[Observation]:
        return []  # the wire belongs to the runs, and each run sets its own level and clock


class _Detector(Procedure):
    def __init__(self, device: SinglePhotonDetector, wanted: DetectorSetPoints) -> None:
        self._device = device
        self._wanted = wanted

    async def drive(self, *, rearmed: bool = False) -> None:
        device, wanted = self._device, self._wanted
        await device.set_temperature_c(wanted.temperature_c)
        await device.set_cooling(True)
        await device.set_threshold_v(wanted.threshold_v)
        # Breakdown moves with temperature, so bias comes last.
        await _settle(device.temperature_c, wanted)
        await device.set_bias_voltage_v(wanted.bias_voltage_v)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        return [
            Observation(
                "bias_voltage_v", await device.bias_voltage_v(), wanted.bias_voltage_v, 0.5
            ),
            Observation("threshold_v", await device.threshold_v(), wanted.threshold_v, 0.02),
            Observation("cooling", await device.cooling(), True, 0),
            _temperature(await device.temperature_c(), wanted),
        ]

    async def rest(self) -> None:
        await self._device.set_bias_voltage_v(0.0)
        await self._device.set_cooling(False)


class _Laser(Procedure):
    def __init__(self, device: LaserDriver, wanted: LaserSetPoints) -> None:
        self._device = device
        self._wanted = wanted

    async def drive(self, *, rearmed: bool = False) -> None:
        device, wanted = self._device, self._wanted
        lit = await device.laser()
        if not lit and not rearmed and (cause := await device.trip_cause()):
            raise DeviceTripped(f"{device.name}: {cause}")
        await device.set_temperature_c(wanted.temperature_c)
        await device.set_temperature_control(True)
        await _settle(device.temperature_c, wanted)
        if not lit:
            await device.set_current_a(0.0)
        await device.set_current_limit_a(wanted.current_limit_a)
        if not lit:
            await device.set_laser(True)
        await device.set_current_a(wanted.current_a, ramp_a_per_s=wanted.ramp_a_per_s)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        if not await device.laser():
            cause = await device.trip_cause() or "the laser went off, the device gives no cause"
            raise DeviceTripped(f"{device.name}: {cause}")
        if not await device.temperature_control():
            raise DeviceTripped(f"{device.name}: temperature control went off under the laser")
        return [
            Observation("current_a", await device.current_set_point_a(), wanted.current_a, 1e-4),
            Observation(
                "current_limit_a", await device.current_limit_a(), wanted.current_limit_a, 1e-4
            ),
            _temperature(await device.temperature_c(), wanted),
        ]

    async def make_safe(self) -> None:
        await self._device.set_laser(False)
        await self._device.set_current_a(0.0)

    async def rest(self) -> None:
        if await self._device.laser():
            await self._device.set_current_a(0.0, ramp_a_per_s=self._wanted.ramp_a_per_s)
        await self._device.emergency_stop()


class _Oven(Procedure):
    def __init__(self, device: CrystalOven, wanted: OvenSetPoints) -> None:
        self._device = device
        self._wanted = wanted

    async def drive(self, *, rearmed: bool = False) -> None:
        device, wanted = self._device, self._wanted
        await device.set_ramp_k_per_s(wanted.ramp_k_per_s)
        await device.set_temperature_c(wanted.temperature_c)
        await device.set_heater(True)
        await _settle(device.temperature_c, wanted)

    async def observe(self) -> list[Observation]:
        device, wanted = self._device, self._wanted
        return [
            Observation("heater", await device.heater(), True, 0),
            Observation("ramp_k_per_s", await device.ramp_k_per_s(), wanted.ramp_k_per_s, 1e-3),
            _temperature(await device.temperature_c(), wanted),
        ]

    async def rest(self) -> None:
        await self._device.set_heater(False)


class _Polarisation(Procedure):
    def __init__(self, device: PolarisationController, wanted: PolarisationSetPoints) -> None:
        self._device = device
        self._wanted = wanted
        self._holding = False

    async def drive(self, *, rearmed: bool = False) -> None:
        if not self._holding:
            await self._device.hold()
            self._holding = True
        held = await self._device.voltages_mv()
        for channel, wanted_mv in enumerate(self._wanted.voltages_mv, 1):
            if held[channel - 1] != wanted_mv:
                await self._device.set_voltage_mv(channel, wanted_mv)

    async def observe(self) -> list[Observation]:
        held = await self._device.voltages_mv()
        return [
            Observation(f"voltage_{channel}_mv", value, wanted, 0)
            for channel, (value, wanted) in enumerate(
                zip(held, self._wanted.voltages_mv, strict=True), 1
            )
        ]


_Thermal = DetectorSetPoints | LaserSetPoints | OvenSetPoints


def _temperature(celsius: float, wanted: _Thermal) -> Observation:
    tolerance_c = _EXCURSION * wanted.settle_tolerance_c
    return Observation("temperature_c", celsius, wanted.temperature_c, tolerance_c)


async def _settle(measure: Callable[[], Awaitable[float]], wanted: _Thermal) -> None:
    """Returns once the temperature stayed within its tolerance for settle_s."""
    loop = asyncio.get_running_loop()
    pause_s = min(0.5, max(0.02, wanted.settle_s / 10))
    deadline = loop.time() + wanted.settle_timeout_s
    inside_since: float | None = None
    while True:
        celsius = await measure()
        now = loop.time()
        if abs(celsius - wanted.temperature_c) > wanted.settle_tolerance_c:
            inside_since = None
        else:
            inside_since = now if inside_since is None else inside_since
            if now - inside_since >= wanted.settle_s:
                return
        if now > deadline:
            raise DeviceTimeout(
                f"temperature does not settle: {celsius:.2f} °C after "
                f"{wanted.settle_timeout_s:g} s, wanted {wanted.temperature_c:g} °C"
            )
        await asyncio.sleep(pause_s)

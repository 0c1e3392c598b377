"""Temperatures that are waited for and watched."""

import asyncio
from typing import Protocol

from qkd_controller.devices.kinds.procedure import Observation
from qkd_drivers.errors import DeviceTimeout, DeviceTripped

_EXCURSION = 3.0  # a settled temperature may wander this many settling tolerances


class Thermal(Protocol):
    """Set-points with a temperature among them."""

    @property
    def temperature_c(self) -> float: ...
    @property
    def settle_tolerance_c(self) -> float: ...
    @property
    def settle_s(self) -> float: ...
    @property
    def settle_timeout_s(self) -> float: ...


class Heated(Protocol):
    """A device that measures the temperature that it regulates."""

    name: str

    async def temperature_c(self) -> float: ...


def temperature(celsius: float, wanted: Thermal) -> Observation:
    """The observation of a temperature that has settled before."""
    tolerance_c = _EXCURSION * wanted.settle_tolerance_c
    return Observation("temperature_c", celsius, wanted.temperature_c, tolerance_c)


async def settle(device: Heated, wanted: Thermal, *, lit: bool = False) -> None:
    """Returns once the temperature stayed within its tolerance for settle_s.

    Where that takes longer than settle_timeout_s it is a DeviceTimeout, and a DeviceTripped while
    the device is lit: light does not wait for a temperature that is not held.
    """
    loop = asyncio.get_running_loop()
    pause_s = min(0.5, max(0.02, wanted.settle_s / 10))
    deadline = loop.time() + wanted.settle_timeout_s
    inside_since: float | None = None
    while True:
        celsius = await device.temperature_c()
        now = loop.time()
        if abs(celsius - wanted.temperature_c) > wanted.settle_tolerance_c:
            inside_since = None
        else:
            inside_since = now if inside_since is None else inside_since
            if now - inside_since >= wanted.settle_s:
                return
        if now > deadline:
            fault = DeviceTripped if lit else DeviceTimeout
            raise fault(
                f"{device.name}: the temperature does not settle: {celsius:.2f} °C after "
                f"settle_timeout_s = {wanted.settle_timeout_s:g}, "
                f"wanted {wanted.temperature_c:g} °C"
            )
        await asyncio.sleep(pause_s)

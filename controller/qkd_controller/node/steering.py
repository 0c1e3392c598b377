"""Alignment carried out on the polarisation controller of this end."""

import asyncio

from qkd_drivers.contract import PolarisationController
from qkd_drivers.errors import DeviceError

from qkd_controller.config.link import Alignment
from qkd_controller.devices.actor import DeviceActor
from qkd_controller.node.alignment import AlignmentFailed, AlignmentOutcome, Probe, align

DEFAULT_HALF_WAVE_MV = 1500.0
SETTLE_S = 0.02


async def steer(actor: DeviceActor, probe: Probe, limits: Alignment) -> AlignmentOutcome:
    """Aligns, and makes what it found the set-point that a reconnect restores.

    Raises AlignmentFailed if the controller is away or no measurement comes back.
    """
    device = actor.device
    if not isinstance(device, PolarisationController):
        raise AlignmentFailed(f"{actor.config.name} is {actor.state.value}: {actor.cause}")
    half_wave_mv = float(actor.config.set_points.get("half_wave_voltage_mv", DEFAULT_HALF_WAVE_MV))

    async def set_voltage(channel: int, millivolts: float) -> None:
        await device.set_voltage_mv(channel + 1, round(millivolts))
        await asyncio.sleep(SETTLE_S)

    try:
        voltages = [float(v) for v in await device.voltages_mv()]
        top = (await device.limits())["voltage_mv"].maximum
        outcome = await align(
            voltages, half_wave_mv, top, set_voltage, probe, limits.start_above_qber_ratio / 2
        )
    except DeviceError as error:
        raise AlignmentFailed(str(error)) from None
    actor.adjust({"voltages_mv": [round(v) for v in outcome.voltages_mv]})
    return outcome

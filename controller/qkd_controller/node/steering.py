"""Alignment carried out on the polarisation controller of this end."""

from qkd_controller.config.link import Alignment
from qkd_controller.devices.actor import DeviceActor
from qkd_controller.devices.errors import DeviceNotReady
from qkd_controller.devices.kinds import PolarisationSetPoints
from qkd_controller.node.alignment import AlignmentFailed, AlignmentOutcome, Probe, align
from qkd_drivers.errors import DeviceError

GOOD_ENOUGH = 0.7
"""Of the error rate that starts an alignment: so far below, another sweep is not worth its time."""


async def steer(actor: DeviceActor, probe: Probe, limits: Alignment) -> AlignmentOutcome:
    """Aligns by changing the actor's set-points, so that a reconnect restores what was found.

    Raises AlignmentFailed if the controller is away or no measurement comes back.
    """
    set_points = actor.set_points
    if not isinstance(set_points, PolarisationSetPoints):
        raise AlignmentFailed(f"{actor.name} is no polarisation controller")
    voltages = list(set_points.voltages_mv)

    async def set_voltage(channel: int, millivolts: float) -> None:
        voltages[channel] = round(millivolts)
        await actor.set(voltages_mv=tuple(voltages))

    try:
        return await align(
            [float(v) for v in voltages],
            set_points.half_wave_voltage_mv,
            set_voltage,
            probe,
            GOOD_ENOUGH * limits.start_above_qber_ratio,
        )
    except (DeviceError, DeviceNotReady) as error:
        raise AlignmentFailed(f"{actor.name}: {error}") from None

"""One supervised actor a device: connect, apply set-points, read back, reconnect, interlock."""

from qkd_controller.devices.actor import DeviceActor
from qkd_controller.devices.errors import ChangeKept, DeviceNotReady
from qkd_controller.devices.latch import Latch
from qkd_controller.devices.set_points import validate_device, validate_set_points
from qkd_controller.devices.state import State, StateChange
from qkd_controller.devices.tagger import RunEnded, RunStarted, TaggerActor

__all__ = [
    "ChangeKept",
    "DeviceActor",
    "DeviceNotReady",
    "Latch",
    "RunEnded",
    "RunStarted",
    "State",
    "StateChange",
    "TaggerActor",
    "validate_device",
    "validate_set_points",
]

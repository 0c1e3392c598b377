"""How each kind of device is driven to its set-points, watched, and brought to rest."""

from dataclasses import dataclass
from typing import Any

from qkd_controller.devices.kinds.attenuator import AttenuatorProcedure, AttenuatorSetPoints
from qkd_controller.devices.kinds.detector import DetectorProcedure, DetectorSetPoints
from qkd_controller.devices.kinds.laser import LaserProcedure, LaserSetPoints
from qkd_controller.devices.kinds.laser_head import (
    LaserHeadProcedure,
    LaserHeadSetPoints,
    PairSourceProcedure,
    PairSourceSetPoints,
)
from qkd_controller.devices.kinds.monitors import (
    FrequencyProcedure,
    FrequencySetPoints,
    PowerMeterProcedure,
    PowerMeterSetPoints,
)
from qkd_controller.devices.kinds.nanowires import (
    NanowireProcedure,
    NanowireSetPoints,
    PassiveProcedure,
    PassiveSetPoints,
)
from qkd_controller.devices.kinds.oven import OvenProcedure, OvenSetPoints
from qkd_controller.devices.kinds.polarisation import (
    PolarisationProcedure,
    PolarisationSetPoints,
)
from qkd_controller.devices.kinds.procedure import Observation, Procedure, SetPoints
from qkd_controller.devices.kinds.pulses import PulseProcedure, PulseSetPoints
from qkd_controller.devices.kinds.rotator import RotatorProcedure, RotatorSetPoints
from qkd_controller.devices.kinds.source import SourceProcedure
from qkd_controller.devices.kinds.tagger import TaggerProcedure, TaggerSetPoints

__all__ = [
    "KINDS",
    "LIGHT_KINDS",
    "Kind",
    "Observation",
    "PolarisationSetPoints",
    "Procedure",
    "SetPoints",
]


@dataclass(frozen=True)
class Kind:
    """What can be asked of a kind of device, and who drives it there."""

    set_points: type[SetPoints]
    procedure: type[Procedure[Any, Any]]


KINDS = {
    "tagger": Kind(TaggerSetPoints, TaggerProcedure),
    "detector": Kind(DetectorSetPoints, DetectorProcedure),
    "nanowire_detectors": Kind(NanowireSetPoints, NanowireProcedure),
    "passive_detector": Kind(PassiveSetPoints, PassiveProcedure),
    "laser": Kind(LaserSetPoints, LaserProcedure),
    "laser_head": Kind(LaserHeadSetPoints, LaserHeadProcedure),
    "pair_source": Kind(PairSourceSetPoints, PairSourceProcedure),
    "crystal_oven": Kind(OvenSetPoints, OvenProcedure),
    "pulse_generator": Kind(PulseSetPoints, PulseProcedure),
    "attenuator": Kind(AttenuatorSetPoints, AttenuatorProcedure),
    "polarisation_controller": Kind(PolarisationSetPoints, PolarisationProcedure),
    "rotator": Kind(RotatorSetPoints, RotatorProcedure),
    "power_meter": Kind(PowerMeterSetPoints, PowerMeterProcedure),
    "frequency_reference": Kind(FrequencySetPoints, FrequencyProcedure),
}
"""By the name that a driver's contract has."""

LIGHT_KINDS = frozenset(
    name for name, kind in KINDS.items() if issubclass(kind.procedure, SourceProcedure)
)
"""Those that emit light: last on, first off."""

"""What every driver of a kind of device offers, whatever the model; one module a kind."""

from qkd_drivers.contract.attenuator import Attenuator
from qkd_drivers.contract.clock import FrequencyReference
from qkd_drivers.contract.detector import (
    NanowireDetectors,
    PassiveDetector,
    SinglePhotonDetector,
)
from qkd_drivers.contract.instrument import Identity, Instrument, Limits, Reading
from qkd_drivers.contract.laser import LaserDriver, LaserHead, PairSource
from qkd_drivers.contract.oven import CrystalOven
from qkd_drivers.contract.polarisation import PolarisationController
from qkd_drivers.contract.power_meter import PowerMeter
from qkd_drivers.contract.pulses import PulseGenerator
from qkd_drivers.contract.rotator import Rotator
from qkd_drivers.contract.tagger import Quality, Run, SteppedRun, Tags, TimeTagger, Verdict

__all__ = [
    "Attenuator",
    "CrystalOven",
    "FrequencyReference",
    "Identity",
    "Instrument",
    "LaserDriver",
    "LaserHead",
    "Limits",
    "NanowireDetectors",
    "PairSource",
    "PassiveDetector",
    "PolarisationController",
    "PowerMeter",
    "PulseGenerator",
    "Quality",
    "Reading",
    "Rotator",
    "Run",
    "SinglePhotonDetector",
    "SteppedRun",
    "Tags",
    "TimeTagger",
    "Verdict",
]

"""The set-points of each model: what an operator may ask of a device.

A configuration gives them as a table; ``validate_set_points`` tells every fault at once.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from qkd_controller.config.node import Device
from qkd_drivers.catalogue import MODELS
from qkd_drivers.s15_tdc1 import LARGEST_LEVEL_V
from qkd_drivers.transports import make_transport

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class TaggerSetPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs and clock of a time tagger."""

    level: Annotated[str, Meta(pattern=r"^(NIM|TTL|[+-]?\d+(\.\d+)?)$")] = "NIM"
    """``NIM``, ``TTL`` or a threshold in volts such as ``"-0.4"``."""
    reference_clock: Annotated[str, Meta(pattern="^(auto|external|internal)$")] = "auto"


class DetectorSetPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bias, discriminator and cooling of a single-photon detector."""

    bias_voltage_v: Annotated[float, Meta(ge=0, le=500)]
    threshold_v: Annotated[float, Meta(ge=-2, le=2)]
    temperature_c: Annotated[float, Meta(ge=-60, le=30)]
    settle_tolerance_c: Positive = 1.0
    settle_s: NotNegative = 1.0
    settle_timeout_s: Positive = 300.0


class LaserSetPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Current and temperature of a laser diode."""

    temperature_c: Annotated[float, Meta(ge=5, le=70)]
    current_a: NotNegative
    current_limit_a: Positive
    ramp_a_per_s: Positive = 0.05
    settle_tolerance_c: Positive = 0.15
    settle_s: NotNegative = 3.0
    settle_timeout_s: Positive = 120.0


class OvenSetPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Temperature of a crystal."""

    temperature_c: Annotated[float, Meta(ge=20, le=100)]
    ramp_k_per_s: Annotated[float, Meta(gt=0, le=1)] = 0.5
    settle_tolerance_c: Positive = 0.1
    settle_s: NotNegative = 3.0
    settle_timeout_s: Positive = 600.0


class PolarisationSetPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the retarders start, and what turns one by half a wave."""

    voltages_mv: Annotated[
        tuple[Annotated[int, Meta(ge=-5000, le=5000)], ...], Meta(min_length=4, max_length=4)
    ] = (0, 0, 0, 0)
    half_wave_voltage_mv: Positive = 2000.0


SetPoints = (
    TaggerSetPoints | DetectorSetPoints | LaserSetPoints | OvenSetPoints | PolarisationSetPoints
)

_BY_KIND: dict[str, type[SetPoints]] = {
    "tagger": TaggerSetPoints,
    "detector": DetectorSetPoints,
    "laser": LaserSetPoints,
    "crystal_oven": OvenSetPoints,
    "polarisation_controller": PolarisationSetPoints,
}
_KINDS = {
    "s15-tdc1": "tagger",
    "s15-spd": "detector",
    "s15-spdc": "crystal_oven",
    "thorlabs-itc4000": "laser",
    "oz-epc400": "polarisation_controller",
}


def validate_set_points(model: str, set_points: Mapping[str, Any]) -> list[str]:
    """One line for each fault; empty if a device of this model can be driven there."""
    if model not in _KINDS:
        return [f"unknown device model {model!r}: known are {', '.join(sorted(MODELS))}"]
    kind = _BY_KIND[_KINDS[model]]
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    faults = [
        f"{name}: {model} has no such set-point; known are {', '.join(fields)}"
        for name in set_points
        if name not in fields
    ]
    faults += [
        f"{name}: {model} needs this set-point"
        for name, field in fields.items()
        if field.required and name not in set_points
    ]
    for name in fields.keys() & set_points.keys():
        try:
            value = msgspec.convert(set_points[name], fields[name].type)
            if isinstance(value, float) and not math.isfinite(value):
                faults.append(f"{name} = {value}: expected a finite number")
        except msgspec.ValidationError as error:
            faults.append(f"{name} = {set_points[name]!r}: {error}")
    if not faults:
        faults = _cross_checks(msgspec.convert(dict(set_points), kind))
    return sorted(faults)


def validate_device(device: Device) -> list[str]:
    """All faults of one device section, each with the name of the device."""
    faults = validate_set_points(device.model, device.set_points)
    if device.model in _KINDS and _KINDS[device.model] != device.kind:
        faults.append(f"{device.model} is a {_KINDS[device.model]}, not a {device.kind}")
    try:
        make_transport(device.address)
    except ValueError as error:
        faults.append(str(error))
    return [f"device {device.name}: {fault}" for fault in faults]


def read_set_points(model: str, set_points: Mapping[str, Any]) -> SetPoints:
    """The typed set-points; ValueError lists all faults."""
    if faults := validate_set_points(model, set_points):
        raise ValueError("; ".join(faults))
    return msgspec.convert(dict(set_points), _BY_KIND[_KINDS[model]])


def _cross_checks(set_points: SetPoints) -> list[str]:
    if isinstance(set_points, TaggerSetPoints) and set_points.level not in ("NIM", "TTL"):
        volts = float(set_points.level)
        if abs(volts) > LARGEST_LEVEL_V:
            return [f"level = {volts:g} V is outside ±{LARGEST_LEVEL_V:g} V"]
    if isinstance(set_points, LaserSetPoints) and set_points.current_a > set_points.current_limit_a:
        return [
            f"current_a = {set_points.current_a:g} is above "
            f"current_limit_a = {set_points.current_limit_a:g}"
        ]
    return []

"""Whether a device section of a configuration can be driven, told before any device is touched."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from qkd_controller.config.node import Device
from qkd_controller.devices.kinds import KINDS, SetPoints
from qkd_drivers.catalogue import find_model
from qkd_drivers.contract import Limits

_SHOWN = 60  # characters of a value that cannot be used


def validate_set_points(model: str, set_points: Mapping[str, Any]) -> list[str]:
    """One line for each fault; empty if a device of this model can be driven there."""
    try:
        known = find_model(model)
        static_limits: Mapping[str, Limits] = getattr(known.load(), "static_limits", {})
    except ValueError as error:
        return [str(error)]
    kind = KINDS[known.kind].set_points
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    faults = [
        f"{name}: {model} has no such set-point; known are {', '.join(fields) or 'none'}"
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
        except msgspec.ValidationError as error:
            faults.append(f"{name} = {repr(set_points[name])[:_SHOWN]}: {error}")
            continue
        faults += _range_faults(name, value, static_limits.get(name))
    if not faults:
        faults = msgspec.convert(dict(set_points), kind).faults()
    return sorted(faults)


def validate_device(device: Device) -> list[str]:
    """All faults of one device section, each with the name of the device."""
    faults = validate_set_points(device.model, device.set_points)
    try:
        model = find_model(device.model)
    except ValueError:
        pass
    else:
        if model.kind != device.kind:
            faults.append(f"{device.model} is a {model.kind}, not a {device.kind}")
        try:
            made = model.load()(device.address, device.name, None)
            if not faults:
                wanted = read_set_points(device.model, device.set_points)
                faults += KINDS[model.kind].procedure(made, wanted).faults()
        except ValueError as error:
            faults.append(str(error))
    return [f"device {device.name}: {fault}" for fault in faults]


def read_set_points(model: str, set_points: Mapping[str, Any]) -> SetPoints:
    """The typed set-points; ValueError lists all faults."""
    if faults := validate_set_points(model, set_points):
        raise ValueError("; ".join(faults))
    return msgspec.convert(dict(set_points), KINDS[find_model(model).kind].set_points)


def _range_faults(name: str, value: object, limits: Limits | None) -> list[str]:
    """Faults of one number, or of each of several; text that is no number has none."""
    if isinstance(value, tuple):
        return [fault for each in value for fault in _range_faults(name, each, limits)]
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    if not math.isfinite(number):
        return [f"{name} = {value}: expected a finite number"]
    try:
        if limits is not None:
            limits.check(name, number)
    except ValueError as error:
        return [str(error)]
    return []

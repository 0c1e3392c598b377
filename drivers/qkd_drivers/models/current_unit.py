"""The unit of currents where sources disagree on it."""

from qkd_drivers.transports import split_options

CURRENT_UNITS = {"mA": 1e-3, "A": 1.0}


def take_current_unit(address: str) -> tuple[str, float]:
    """The address without its option ``current_unit``, and amperes per unit; mA without it."""
    plain, options = split_options(address, "current_unit")
    unit = options.get("current_unit", "mA")
    if unit not in CURRENT_UNITS:
        raise ValueError(f"device address {address!r}: current_unit is mA or A, not {unit!r}")
    return plain, CURRENT_UNITS[unit]

"""Reading the answers to ``*IDN?``."""

import re

from qkd_drivers.contract import Identity
from qkd_drivers.errors import DeviceMismatch


def scpi_identity(answer: str) -> Identity:
    """``maker,model,serial number,firmware`` (IEEE 488.2, 10.14)."""
    fields = [field.strip() for field in answer.split(",")] + [""] * 4
    return Identity(fields[1], fields[2], fields[3])


def s15_identity(answer: str, mark: str) -> Identity:
    """S-Fifteen boxes answer a text that holds their mark; a serial number may follow it."""
    if answer.count(",") >= 2:
        return scpi_identity(answer)
    model = re.search(rf"\S*{mark}\S*", answer, re.IGNORECASE)
    if model is None:
        return Identity(answer)
    serial_number = re.match(r"\s+(\S*\d\S*)", answer[model.end() :])
    firmware = re.search(r"firmware\s+(\S+)", answer, re.IGNORECASE)
    return Identity(
        model[0],
        serial_number[1] if serial_number else "",
        firmware[1] if firmware else "",
    )


def verify_model(name: str, identity: Identity, mark: str, *, not_containing: str = "") -> None:
    """DeviceMismatch unless the model carries its mark."""
    model = identity.model.upper()
    if mark not in model or (not_containing and not_containing in model):
        raise DeviceMismatch(
            f"{name}: the device at this address says it is {identity.model!r}, "
            f"not a {mark}: check the address"
        )

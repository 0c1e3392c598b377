"""IEEE 488.2 / SCPI-99: syntax, status model and the instrument shell built on them."""

from qkd_firmware_sim.scpi.instrument import ScpiInstrument, ScpiSession
from qkd_firmware_sim.scpi.status import Register, Status
from qkd_firmware_sim.scpi.syntax import (
    ScpiError,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_number,
)

__all__ = [
    "Register",
    "ScpiError",
    "ScpiInstrument",
    "ScpiSession",
    "Status",
    "parse_boolean",
    "parse_choice",
    "parse_integer",
    "parse_number",
]

"""Request and reply over a transport: `wire` is common, then one module a protocol family."""

from qkd_drivers.framing.lines import Dialect, LineWire
from qkd_drivers.framing.obis import ObisWire
from qkd_drivers.framing.oz import OzWire
from qkd_drivers.framing.s15 import S15Wire
from qkd_drivers.framing.scpi import ScpiWire
from qkd_drivers.framing.wire import Trace, TraceEntry, TraceSwitch, Wire

__all__ = [
    "Dialect",
    "LineWire",
    "ObisWire",
    "OzWire",
    "S15Wire",
    "ScpiWire",
    "Trace",
    "TraceEntry",
    "TraceSwitch",
    "Wire",
]

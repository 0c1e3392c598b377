"""Request and reply over a transport: `wire` is common, then one module a protocol family."""

from qkd_drivers.framing.apt import AptWire
from qkd_drivers.framing.elliptec import ElliptecWire
from qkd_drivers.framing.idq import IdqWire
from qkd_drivers.framing.idq_time import DataLinkWire, TimeControllerWire
from qkd_drivers.framing.lines import Dialect, LineWire
from qkd_drivers.framing.obis import ObisWire
from qkd_drivers.framing.oz import OzWire
from qkd_drivers.framing.s15 import S15Wire
from qkd_drivers.framing.scpi import ReopeningScpiWire, ScpiWire
from qkd_drivers.framing.srs import SrsWire
from qkd_drivers.framing.websq import WebsqWire
from qkd_drivers.framing.wire import Trace, TraceEntry, TraceSwitch, Wire

__all__ = [
    "AptWire",
    "DataLinkWire",
    "Dialect",
    "ElliptecWire",
    "IdqWire",
    "LineWire",
    "ObisWire",
    "OzWire",
    "ReopeningScpiWire",
    "S15Wire",
    "ScpiWire",
    "SrsWire",
    "TimeControllerWire",
    "Trace",
    "TraceEntry",
    "TraceSwitch",
    "WebsqWire",
    "Wire",
]

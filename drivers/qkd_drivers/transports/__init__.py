"""Byte transports to instruments: serial ports, TCP sockets and VISA resources."""

from qkd_drivers.transports.address import (
    make_shared_transport,
    make_transport,
    open_transport,
    split_options,
)
from qkd_drivers.transports.base import Transport
from qkd_drivers.transports.shared import SharedTransport

__all__ = [
    "SharedTransport",
    "Transport",
    "make_shared_transport",
    "make_transport",
    "open_transport",
    "split_options",
]

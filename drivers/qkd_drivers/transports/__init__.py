"""Byte transports to instruments: serial ports, TCP sockets and VISA resources."""

from qkd_drivers.transports.address import make_transport, open_transport, split_options
from qkd_drivers.transports.base import Transport

__all__ = ["Transport", "make_transport", "open_transport", "split_options"]

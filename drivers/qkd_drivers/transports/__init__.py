"""Transports to instruments: serial ports, TCP sockets, ZeroMQ sockets and VISA resources."""

from qkd_drivers.transports.address import (
    make_shared_transport,
    make_transport,
    open_transport,
    split_host,
    split_options,
)
from qkd_drivers.transports.base import Transport
from qkd_drivers.transports.shared import SharedTransport
from qkd_drivers.transports.zeromq_stream import ZeromqStream

__all__ = [
    "SharedTransport",
    "Transport",
    "ZeromqStream",
    "make_shared_transport",
    "make_transport",
    "open_transport",
    "split_host",
    "split_options",
]

"""Addresses: ``serial:/dev/…[?baud=9600&flow=rtscts]``, ``tcp:host:port``, ``visa:RESOURCE``,
``visa:ASRL/dev/…::INSTR[?baud=9600&flow=rtscts]``, ``zeromq:host:port[?numbered=no]``."""

from typing import Literal

from qkd_drivers.transports.base import Transport
from qkd_drivers.transports.serial import SerialTransport
from qkd_drivers.transports.shared import SharedTransport
from qkd_drivers.transports.tcp import TcpTransport
from qkd_drivers.transports.visa import VisaTransport
from qkd_drivers.transports.zeromq import ZeromqTransport

Flow = Literal["none", "rtscts"]


async def open_transport(address: str, *, default_baud: int = 115200) -> Transport:
    """An open transport; ValueError for a malformed address, DeviceError if it does not open."""
    transport = make_transport(address, default_baud=default_baud)
    await transport.open()
    return transport


def split_options(address: str, *own: str) -> tuple[str, dict[str, str]]:
    """The address without those options after ``?`` that are the driver's own, and these."""
    plain, _, options = address.partition("?")
    found: dict[str, str] = {}
    rest = []
    for option in filter(None, options.split("&")):
        key, _, value = option.partition("=")
        if key in own:
            found[key] = value
        else:
            rest.append(option)
    return plain + ("?" + "&".join(rest) if rest else ""), found


def make_transport(
    address: str, *, default_baud: int = 115200, default_flow: Flow = "none"
) -> Transport:
    """A transport not yet opened; ValueError says what is wrong with the address."""
    scheme, _, rest = address.partition(":")
    if scheme == "serial":
        port, baud, flow = _serial(address, rest, default_baud, default_flow)
        return SerialTransport(address, port, baud, rtscts=flow == "rtscts")
    if scheme == "tcp":
        return TcpTransport(address, *split_host(address))
    if scheme == "zeromq":
        plain, options = split_options(address, "numbered")
        numbered = options.get("numbered", "yes")
        if numbered not in ("yes", "no"):
            raise ValueError(f"device address {address!r}: numbered is yes or no")
        return ZeromqTransport(address, *split_host(plain), numbered=numbered == "yes")
    if scheme == "visa" and rest:
        return _visa(address, rest, default_baud, default_flow)
    raise ValueError(
        f"device address {address!r}: want serial:/dev/…, tcp:host:port, zeromq:host:port or "
        "visa:RESOURCE"
    )


def make_shared_transport(address: str, *, default_baud: int = 115200) -> SharedTransport:
    """A seat at a serial port that several devices share; ValueError as `make_transport`."""
    scheme, _, rest = address.partition(":")
    if scheme != "serial":
        raise ValueError(f"device address {address!r}: want serial:/dev/…")
    port, baud, _ = _serial(address, rest, default_baud, "none")
    return SharedTransport(address, port, baud)


def _visa(address: str, rest: str, default_baud: int, default_flow: Flow) -> VisaTransport:
    resource, _, options = rest.partition("?")
    if not resource.upper().startswith("ASRL"):
        if options:
            raise ValueError(
                f"device address {address!r}: {options!r} is for a serial port, such as "
                "visa:ASRL/dev/…::INSTR"
            )
        return VisaTransport(address, resource)
    baud, flow = _line(address, options, default_baud, default_flow)
    return VisaTransport(address, resource, baud, rtscts=flow == "rtscts")


def _serial(
    address: str, rest: str, default_baud: int, default_flow: Flow
) -> tuple[str, int, Flow]:
    port, _, options = rest.partition("?")
    if not port:
        raise ValueError(f"device address {address!r} names no serial port")
    return port, *_line(address, options, default_baud, default_flow)


def _line(address: str, options: str, default_baud: int, default_flow: Flow) -> tuple[int, Flow]:
    """How a serial line is run."""
    baud, flow = default_baud, default_flow
    for option in filter(None, options.split("&")):
        match option.split("="):
            case ["baud", value] if value.isdecimal() and int(value) > 0:
                baud = int(value)
            case ["flow", "none" | "rtscts" as wanted]:
                flow = wanted
            case _:
                raise ValueError(
                    f"device address {address!r}: {option!r} is not baud=NUMBER, "
                    "flow=none or flow=rtscts"
                )
    return baud, flow


def split_host(address: str) -> tuple[str, int]:
    """Host and port of ``scheme:host:port``; ValueError if there is no such thing."""
    scheme, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"device address {address!r}: want {scheme}:host:port")
    return host.strip("[]"), int(port)

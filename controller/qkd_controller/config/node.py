"""The node file: what belongs to one end alone."""

from typing import Any, Literal

import msgspec


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files of this node's identity and of the authority it trusts."""

    ca: str
    certificate: str
    key: str


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument: its model, its address, and the state it should be in."""

    name: str
    kind: str
    """What it is to the link, such as ``tagger``; that of its model."""
    model: str
    address: str
    """``serial:/dev/…``, ``tcp:host:port``, ``zeromq:host:port``, ``visa:TCPIP::…``, ``file:…``:
    what its model has."""
    serial_number: str = ""
    set_points: dict[str, Any] = {}


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a click on one tagger channel means."""

    channel: int
    basis: Literal["z", "x"]
    bit: int
    delay_ps: int = 0
    """Subtracted from each of its tags before any time is announced."""


class LinkEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One end of one link."""

    link_file: str
    address: str
    """Where the listener listens, or where the other end connects to; ``host:port``."""
    channels: tuple[Channel, ...]
    devices: tuple[Device, ...]
    run_duration_s: float = 5.0
    """Length of one tagger run, after which its overflow status is read."""
    buffer_limit_mib: int = 256


class Application(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secure application entity that may ask this node for keys."""

    sae_id: str
    peer_sae_ids: tuple[str, ...]
    """Applications at the other end with which it may share keys."""


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ETSI GS QKD 014 endpoint."""

    address: str
    kme_id: str
    peer_kme_id: str
    applications: tuple[Application, ...] = ()
    default_key_bits: int = 256
    min_key_bits: int = 64
    max_key_bits: int = 8192
    max_keys_per_request: int = 128


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where this node tells how it fares."""

    metrics_address: str = ""
    """``host:port`` of the Prometheus endpoint; empty for none."""
    log_file: str = ""
    """JSON lines; empty for standard error."""


class NodeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node and its link ends."""

    name: str
    state_dir: str
    tls: Tls
    links: tuple[LinkEnd, ...]
    delivery: Delivery
    telemetry: Telemetry = Telemetry()
    status_socket: str = ""
    """Path of the 0600 Unix socket; ``state_dir/status.sock`` if empty."""

"""The one status snapshot of a node, from which everything that shows it draws."""

from typing import Any

import msgspec


class DeviceStatus(msgspec.Struct, frozen=True):
    """One instrument: where it stands, and its readings as (value, unit, utc_s).

    There are none of a device that is not connected.
    """

    name: str
    kind: str
    model: str
    state: str
    cause: str
    readings: dict[str, tuple[float, str, float]]
    set_points: dict[str, Any] = {}
    observed: dict[str, float] = {}
    """What could be read back of the set-points, while the device stands at them."""
    differences: tuple[str, ...] = ()


class BlockStatus(msgspec.Struct, frozen=True):
    """The block being filled or distilled."""

    number: int
    stage: str
    progress_ratio: float


class LinkStatus(msgspec.Struct, frozen=True):
    """One link end; rates per second, ratios 0 to 1, None where nothing is known yet."""

    name: str
    peer: str
    state: str
    cause: str
    since_utc_s: float
    peer_connected: bool
    singles_hz: float
    peer_singles_hz: float
    coincidences_hz: float
    car_ratio: float | None
    qber_z_ratio: float | None
    qber_x_ratio: float | None
    sifted_bits_per_s: float
    secret_bits_per_s: float
    efficiency_f: float | None
    clock_offset_ps: int | None
    clock_drift_ppm: float | None
    clock_residual_ps: float | None
    dead_share_ratio: float
    block: BlockStatus
    blocks_released: int
    blocks_discarded: dict[str, int]
    slices: dict[str, int]
    own_key_bits: int
    redeemable_key_bits: int
    pad_bytes: tuple[int, int]
    accumulated_epsilon: float
    devices: tuple[DeviceStatus, ...]
    alarms: tuple[str, ...]


class NodeStatus(msgspec.Struct, frozen=True):
    """One node: the single source for `qkd status`, the demo's table and whatever comes later."""

    node: str
    version: str
    utc_s: float
    started_utc_s: float
    process_id: int
    cpu_s: float
    tasks: int
    """Of the event loop: as many in the evening as in the morning, unless some leak."""
    delivery_address: str
    keys_delivered: int
    links: tuple[LinkStatus, ...]
    events: list[dict[str, Any]]

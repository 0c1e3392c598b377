"""The one status snapshot of a node, and the Unix socket that serves it."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from qkd_controller.config.errors import QkdError


class StatusUnavailable(QkdError):
    """No node answers on this status socket."""


class DeviceStatus(msgspec.Struct, frozen=True):
    """One instrument: where it stands, and its latest readings as (value, unit)."""

    name: str
    kind: str
    model: str
    state: str
    cause: str
    readings: dict[str, tuple[float, str]]


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
    delivery_address: str
    keys_delivered: int
    links: tuple[LinkStatus, ...]
    events: list[dict[str, Any]]


@contextlib.asynccontextmanager
async def serve_status(path: Path, snapshot: Callable[[], NodeStatus]) -> AsyncIterator[None]:
    """Serves one JSON snapshot to each connection; only this user can connect.

    Raises StatusUnavailable if another process serves this path already.
    """

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(msgspec.json.encode(snapshot()) + b"\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_unix_server(answer, sock=_bound(path))
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def read_status(path: Path, timeout_s: float = 5.0) -> NodeStatus:
    """The snapshot of the node that serves this path; raises StatusUnavailable."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 22)
            try:
                line = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "no answer in time"
        raise StatusUnavailable(
            f"no node answers on {path} ({reason}); is `qkd node` running?"
        ) from None
    try:
        return msgspec.json.decode(line, type=NodeStatus)
    except msgspec.DecodeError as error:
        raise StatusUnavailable(f"{path} answered something else: {error}") from None


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            _refuse_if_alive(path)
            path.unlink()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise StatusUnavailable(f"status socket {path}: {error.strerror or error}") from None
    except StatusUnavailable:
        listener.close()
        raise
    return listener


def _refuse_if_alive(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise StatusUnavailable(f"another node already serves {path}; stop it first")

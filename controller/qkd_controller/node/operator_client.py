"""Asking a running node over its operator's socket."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qkd_controller.node.operator import (
    Declined,
    Done,
    RearmRequest,
    Request,
    RequestDeclined,
    SetRequest,
    StatusRequest,
    StatusUnavailable,
    Traced,
    TraceRequest,
)
from qkd_controller.node.status import NodeStatus

LARGEST_ANSWER_BYTES = 1 << 26

T = TypeVar("T")


async def read_status(path: Path, timeout_s: float = 5.0) -> NodeStatus:
    """The snapshot of the node that serves this path; raises StatusUnavailable."""
    async with _asked(path, StatusRequest(), timeout_s) as reader:
        return await _next(path, reader, NodeStatus, timeout_s)


async def rearm_device(path: Path, device: str, timeout_s: float = 5.0) -> None:
    """Re-arms a tripped device; raises StatusUnavailable or RequestDeclined."""
    async with _asked(path, RearmRequest(device), timeout_s) as reader:
        await _done(path, reader, timeout_s)


async def set_device(
    path: Path, device: str, changes: dict[str, Any], timeout_s: float = 60.0
) -> None:
    """Changes set-points and waits until the device is there.

    Raises StatusUnavailable or RequestDeclined.
    """
    async with _asked(path, SetRequest(device, changes), timeout_s) as reader:
        await _done(path, reader, timeout_s)


async def trace_device(
    path: Path, device: str, timeout_s: float = 5.0
) -> AsyncGenerator[Traced, None]:
    """What goes over a device's wire, for ever; raises StatusUnavailable or RequestDeclined.

    Iterate it inside ``contextlib.aclosing``, so that leaving ends the trace.
    """
    async with _asked(path, TraceRequest(device), timeout_s) as reader:
        await _done(path, reader, timeout_s)
        while line := await reader.readline():
            yield msgspec.json.decode(line, type=Traced)


@contextlib.asynccontextmanager
async def _asked(
    path: Path, request: Request, timeout_s: float
) -> AsyncIterator[asyncio.StreamReader]:
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(
                str(path), limit=LARGEST_ANSWER_BYTES
            )
    except (OSError, TimeoutError) as error:
        raise _unavailable(path, error) from None
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        yield reader
    finally:
        writer.close()


async def _next(path: Path, reader: asyncio.StreamReader, kind: type[T], timeout_s: float) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            line = await reader.readline()
    except (OSError, TimeoutError) as error:
        raise _unavailable(path, error) from None
    if not line:
        raise StatusUnavailable(f"the node at {path} hung up without an answer")
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise StatusUnavailable(f"{path} answered something else: {error}") from None


async def _done(path: Path, reader: asyncio.StreamReader, timeout_s: float) -> None:
    outcome: Done | Declined = await _next(path, reader, Done | Declined, timeout_s)  # type: ignore[arg-type]
    if isinstance(outcome, Declined):
        raise RequestDeclined(outcome.reason)


def _unavailable(path: Path, error: Exception) -> StatusUnavailable:
    reason = getattr(error, "strerror", None) or "no answer in time"
    return StatusUnavailable(f"no node answers on {path} ({reason}); is `qkd node` running?")

"""Asking a running node over its operator's socket."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qkd_controller.node.operator import (
    Declined,
    Done,
    Kept,
    RearmRequest,
    Request,
    RequestDeclined,
    SetRequest,
    StatusRequest,
    StatusUnavailable,
    Traced,
    TraceRequest,
    Working,
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
    path: Path,
    device: str,
    changes: dict[str, Any],
    on_working: Callable[[], None] = lambda: None,
    timeout_s: float = 15.0,
) -> str:
    """Changes set-points and waits until the device is there, as long as it may take.

    Empty once it is there; or why it cannot be now, and the change is kept until it can.

    on_working is called each time that the node says that it goes on; timeout_s is how long it
    may say nothing. Raises StatusUnavailable or RequestDeclined.
    """
    async with _asked(path, SetRequest(device, changes), timeout_s) as reader:
        return await _done(path, reader, timeout_s, on_working)


async def trace_device(
    path: Path, device: str, timeout_s: float = 5.0
) -> AsyncGenerator[Traced, None]:
    """What goes over a device's wire, for ever; raises StatusUnavailable or RequestDeclined.

    Iterate it inside ``contextlib.aclosing``, so that leaving ends the trace.
    """
    async with _asked(path, TraceRequest(device), timeout_s) as reader:
        await _done(path, reader, timeout_s)
        while True:
            yield await _next(path, reader, Traced, None)


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


async def _next(
    path: Path, reader: asyncio.StreamReader, kind: type[T], timeout_s: float | None
) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            line = await reader.readline()
    except TimeoutError:
        raise StatusUnavailable(
            f"the node at {path} said nothing for {timeout_s:g} s: it is stopped, or has too much "
            "to do; what it was asked it may still do"
        ) from None
    except OSError as error:
        raise _unavailable(path, error) from None
    except ValueError:
        raise StatusUnavailable(f"{path} answers without an end: is it a node's?") from None
    if not line:
        raise StatusUnavailable(f"the node at {path} hung up: it has ended, or its log says why")
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise StatusUnavailable(f"{path} answered something else: {error}") from None


async def _done(
    path: Path,
    reader: asyncio.StreamReader,
    timeout_s: float,
    on_working: Callable[[], None] = lambda: None,
) -> str:
    while isinstance(outcome := await _next(path, reader, _OUTCOMES, timeout_s), Working):
        on_working()
    if isinstance(outcome, Declined):
        raise RequestDeclined(outcome.reason)
    return outcome.reason if isinstance(outcome, Kept) else ""


_OUTCOMES: Any = Working | Done | Kept | Declined


def _unavailable(path: Path, error: Exception) -> StatusUnavailable:
    if isinstance(error, PermissionError):
        return StatusUnavailable(f"{path} is for the user that runs the node: be that user")
    reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
    return StatusUnavailable(f"no node answers on {path} ({reason}); is `qkd node` running?")

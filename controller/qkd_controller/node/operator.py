"""The node's Unix socket, where its operator asks, sets and re-arms.

One JSON line asks, one answers; a trace is answered by a line an entry until the asker hangs up.
Only the user that runs the node can connect.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from qkd_controller.config.errors import QkdError
from qkd_controller.node.status import NodeStatus
from qkd_drivers.framing import Trace, TraceEntry

LARGEST_REQUEST_BYTES = 1 << 12
LARGEST_ENTRY_BYTES = 256
WAITING_ENTRIES = 1000
WORKING_EVERY_S = 1.0

T = TypeVar("T")


class StatusUnavailable(QkdError):
    """No node answers on this socket."""


class RequestDeclined(QkdError):
    """The node will not do what was asked."""


class StatusRequest(msgspec.Struct, frozen=True, tag="status"):
    """The snapshot of now."""


class RearmRequest(msgspec.Struct, frozen=True, tag="rearm"):
    """The operator's word that the cause of a device's trip is gone."""

    device: str


class SetRequest(msgspec.Struct, frozen=True, tag="set"):
    """New set-points of a device, until the node ends."""

    device: str
    changes: dict[str, Any]


class TraceRequest(msgspec.Struct, frozen=True, tag="trace"):
    """What goes over a device's wire, until the asker hangs up."""

    device: str


class Declined(msgspec.Struct, frozen=True, tag="declined"):
    """Why nothing was done."""

    reason: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was done."""


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """It will be done once the device is ready, which it is not."""

    reason: str


class Working(msgspec.Struct, frozen=True, tag="working"):
    """It goes on; told every WORKING_EVERY_S until it was done or declined."""


class Traced(msgspec.Struct, frozen=True, tag="traced"):
    """One request or reply; data is cut after LARGEST_ENTRY_BYTES, size_bytes is what it was."""

    monotonic_s: float
    direction: Literal[">", "<", "!"]
    data: bytes
    size_bytes: int


Request = StatusRequest | RearmRequest | SetRequest | TraceRequest


class Operator(Protocol):
    """What an operator may ask of a node. Every method raises RequestDeclined with the reason."""

    def status(self) -> NodeStatus: ...

    async def rearm(self, device: str, user_id: int) -> None: ...

    async def set(self, device: str, changes: dict[str, Any], user_id: int) -> Done | Kept: ...

    def trace(self, device: str, sink: Trace) -> AbstractContextManager[None]: ...


@contextlib.asynccontextmanager
async def serve_operator(path: Path, operator: Operator) -> AsyncIterator[None]:
    """Serves requests on a 0600 socket; what is still under way at the end is cancelled.

    Raises StatusUnavailable if another process serves this path already.
    """
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            # asyncio reports the cancellation of a connection as an error of the program.
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await _serve(operator, reader, writer)
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=_bound(path), limit=LARGEST_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        under_way = list(connections)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way)


async def _serve(
    operator: Operator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        line = await reader.readline()
    except ValueError:
        _tell(writer, Declined(f"a request has at most {LARGEST_REQUEST_BYTES} bytes"))
        return
    try:
        await _answer(operator, _REQUESTS.decode(line), reader, writer)
    except msgspec.DecodeError:
        _tell(writer, Declined("the node does not know this request"))
    except RequestDeclined as declined:
        _tell(writer, Declined(str(declined)))
    await writer.drain()


_REQUESTS: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


async def _answer(
    operator: Operator,
    request: Request,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    match request:
        case StatusRequest():
            _tell(writer, operator.status())
        case RearmRequest(device=device):
            await operator.rearm(device, _user_id(writer))
            _tell(writer, Done())
        case SetRequest(device=device, changes=changes):
            _tell(writer, await _working(operator.set(device, changes, _user_id(writer)), writer))
        case TraceRequest(device=device):
            await _trace(operator, device, reader, writer)


async def _working(doing: Coroutine[None, None, T], writer: asyncio.StreamWriter) -> T:
    """Sees it through, whoever hangs up meanwhile, and tells that it goes on."""
    task = asyncio.create_task(doing)
    try:
        while not (await asyncio.wait({task}, timeout=WORKING_EVERY_S))[0]:
            if not writer.is_closing():
                _tell(writer, Working())
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _trace(
    operator: Operator, device: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Tells what happens on the wire; a reader too slow for it misses entries, nothing waits."""
    waiting: asyncio.Queue[TraceEntry] = asyncio.Queue(WAITING_ENTRIES)

    def keep(entry: TraceEntry) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            waiting.put_nowait(entry)

    async def forward() -> None:
        while True:
            entry = await waiting.get()
            cut = entry.data[:LARGEST_ENTRY_BYTES]
            _tell(writer, Traced(entry.monotonic_s, entry.direction, cut, len(entry.data)))
            await writer.drain()

    with operator.trace(device, keep):
        _tell(writer, Done())
        forwarding = asyncio.ensure_future(forward())
        try:
            await reader.read()
        finally:
            forwarding.cancel()
            await asyncio.wait({forwarding})


def _tell(writer: asyncio.StreamWriter, answer: msgspec.Struct) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")


def _user_id(writer: asyncio.StreamWriter) -> int:
    """Who asks, as the kernel tells (SO_PEERCRED: process, user, group)."""
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")


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

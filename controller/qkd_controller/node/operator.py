"""The node's Unix socket, where its operator asks for the status or re-arms a device.

One JSON line asks, one answers. Only the user that runs the node can connect.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from qkd_controller.config.errors import QkdError
from qkd_controller.node.status import NodeStatus

LARGEST_REQUEST_BYTES = 1 << 12


class StatusUnavailable(QkdError):
    """No node answers on this socket."""


class RequestDeclined(QkdError):
    """The node will not do what was asked."""


class StatusRequest(msgspec.Struct, frozen=True, tag="status"):
    """The snapshot of now."""


class RearmRequest(msgspec.Struct, frozen=True, tag="rearm"):
    """The operator's word that the cause of a device's trip is gone."""

    device: str


class Declined(msgspec.Struct, frozen=True, tag="declined"):
    """Why nothing was done."""

    reason: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was done."""


@contextlib.asynccontextmanager
async def serve_operator(
    path: Path, snapshot: Callable[[], NodeStatus], rearm: Callable[[str], None]
) -> AsyncIterator[None]:
    """Serves requests on a 0600 socket; rearm takes a device's name, raises RequestDeclined.

    Raises StatusUnavailable if another process serves this path already.
    """

    def answer(line: bytes) -> bytes:
        try:
            request = _REQUESTS.decode(line)
            if isinstance(request, StatusRequest):
                return msgspec.json.encode(snapshot())
            rearm(request.device)
        except msgspec.DecodeError:
            return msgspec.json.encode(Declined("the node does not know this request"))
        except RequestDeclined as declined:
            return msgspec.json.encode(Declined(str(declined)))
        return msgspec.json.encode(Done())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(answer(line) + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            return
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=_bound(path), limit=LARGEST_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def read_status(path: Path, timeout_s: float = 5.0) -> NodeStatus:
    """The snapshot of the node that serves this path; raises StatusUnavailable."""
    answer = await _ask(path, StatusRequest(), timeout_s)
    try:
        return msgspec.json.decode(answer, type=NodeStatus)
    except msgspec.DecodeError as error:
        raise StatusUnavailable(f"{path} answered something else: {error}") from None


async def rearm_device(path: Path, device: str, timeout_s: float = 5.0) -> None:
    """Re-arms a tripped device; raises StatusUnavailable or RequestDeclined."""
    answer = await _ask(path, RearmRequest(device), timeout_s)
    try:
        outcome = msgspec.json.decode(answer, type=Done | Declined)
    except msgspec.DecodeError as error:
        raise StatusUnavailable(f"{path} answered something else: {error}") from None
    if isinstance(outcome, Declined):
        raise RequestDeclined(outcome.reason)


_REQUESTS: msgspec.json.Decoder[StatusRequest | RearmRequest] = msgspec.json.Decoder(
    StatusRequest | RearmRequest
)


async def _ask(path: Path, request: StatusRequest | RearmRequest, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(msgspec.json.encode(request) + b"\n")
                return await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "no answer in time"
        raise StatusUnavailable(
            f"no node answers on {path} ({reason}); is `qkd node` running?"
        ) from None


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

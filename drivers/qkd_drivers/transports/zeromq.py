"""ZeroMQ: questions and answers over REQ sockets.

``zmq_connect`` never fails and reconnects behind one's back. Here a connection is made once: the
port is tried first, the handshake is awaited, and the socket's own monitor tells of its loss.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.transports.base import BufferedTransport
from qkd_drivers.transports.tcp import OPEN_TIMEOUT_S, connect_fault

_GREETED = zmq.EVENT_HANDSHAKE_SUCCEEDED
_STRANGER = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_GONE = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class ZeromqSocket:
    """A ZeroMQ socket connected to one peer, which is told of once it is gone."""

    def __init__(self, address: str, host: str, port: int, *, numbered: bool = True) -> None:
        self.address = address
        self._host = host
        self._port = port
        self._numbered = numbered
        self._context: zmq.asyncio.Context | None = None
        self._socket: zmq.asyncio.Socket | None = None  # a context holds its sockets weakly
        self._tasks: list[asyncio.Task[None]] = []
        self._opening: object | None = None

    async def open(self, kind: int, on_lost: Callable[[DeviceError], None]) -> zmq.asyncio.Socket:
        """Connects a socket of a kind; on_lost is called at most once, when its peer is gone.

        DeviceNotFound, DeviceRefused or DeviceTimeout as for TCP; DeviceRefused too if the
        connection is dropped before the greeting, DeviceProtocolError if the greeting is not
        ZeroMQ's.
        """
        opening = self._opening = object()
        await self._let_go()
        await self._probe()
        context = zmq.asyncio.Context()
        try:
            socket, monitor = await self._greeted(context, kind)
            if self._opening is not opening:
                raise DeviceLost(f"{self.address} was closed while it was being opened")
        except BaseException:
            context.destroy(linger=0)
            raise
        self._context, self._socket = context, socket
        self.keep(self._watch(monitor, on_lost))
        return socket

    async def close(self) -> None:
        """Always works, more than once, also while another user opens it."""
        self._opening = None
        await self._let_go()

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the connection."""
        task = asyncio.create_task(work)
        self._tasks = [other for other in self._tasks if not other.done()] + [task]
        return task

    async def _let_go(self) -> None:
        tasks, self._tasks = self._tasks, []
        context, self._context = self._context, None
        try:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if context is not None:
                context.destroy(linger=0)

    async def _greeted(
        self, context: zmq.asyncio.Context, kind: int
    ) -> tuple[zmq.asyncio.Socket, Any]:
        """A socket that has shaken hands with the peer, and its monitor."""
        socket: zmq.asyncio.Socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)  # a new connection is ours to make, and known
        if kind == zmq.REQ and self._numbered:
            # The REP socket numbers its answer alike: one that comes twice is dropped however late
            # it comes.
            socket.setsockopt(zmq.REQ_CORRELATE, 1)
        for option, value in (
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, 5),
            (zmq.TCP_KEEPALIVE_INTVL, 2),
            (zmq.TCP_KEEPALIVE_CNT, 3),
        ):
            socket.setsockopt(option, value)
        monitor: Any = socket.get_monitor_socket(_GREETED | _STRANGER | _GONE)
        socket.connect(f"tcp://{_bracketed(self._host)}:{self._port}")
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                event = await _event(monitor)
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} took the connection but did not greet within {OPEN_TIMEOUT_S:g} s"
            ) from None
        if event & _STRANGER:
            raise DeviceProtocolError(f"{self.address} does not speak ZeroMQ")
        if event != _GREETED:
            raise dropped_fault(self.address)
        return socket, monitor

    async def _watch(self, monitor: Any, on_lost: Callable[[DeviceError], None]) -> None:
        while not await _event(monitor) & _GONE:
            pass
        on_lost(DeviceLost(f"{self.address} closed the connection"))

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                _, writer = await asyncio.open_connection(self._host, self._port)
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} did not accept a connection within {OPEN_TIMEOUT_S:g} s"
            ) from None
        except OSError as error:
            raise connect_fault(self.address, error) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class ZeromqTransport(BufferedTransport):
    """Questions and answers: one frame each, over a REQ socket.

    A line written is sent as a frame without its line feed, and a line feed is put behind each
    answer, so that a frame reads as a line does. A REQ socket that waits for an answer can do
    nothing else: after a timeout it is thrown away, and with it the answer that may yet come.
    Numbered questions have a frame more in their envelope, which a REP socket gives back. A peer
    that is none may not answer them; without numbers an answer that comes twice, the second time
    after the next question, is taken for that one's.
    """

    def __init__(self, address: str, host: str, port: int, *, numbered: bool = True) -> None:
        super().__init__(address)
        self._peer = ZeromqSocket(address, host, port, numbered=numbered)
        self._numbers_doubted = numbered
        self._socket: zmq.asyncio.Socket | None = None
        self._answering: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._reset()
        self._socket = await self._peer.open(zmq.REQ, self._fail)
        self._start()

    async def close(self) -> None:
        self._reset()
        await self._peer.close()

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        self._check()
        assert self._socket is not None
        if self._answering is not None and not self._answering.done():
            raise DeviceProtocolError(f"{self.address} still owes the answer to a question")
        try:
            # There is room for one question as long as there is a peer.
            await self._socket.send(data.removesuffix(b"\n"), zmq.NOBLOCK)
        except zmq.Again:
            self._fail(DeviceLost(f"{self.address} closed the connection"))
            self._check()
        self._answering = self._peer.keep(self._receive(self._socket))

    async def read_until(self, pattern: bytes, *, timeout_s: float) -> bytes:
        try:
            return await super().read_until(pattern, timeout_s=timeout_s)
        except DeviceTimeout as silence:
            if not self._numbers_doubted:
                raise
            raise DeviceTimeout(
                f"{silence}; it has answered nothing yet: if it may not take numbered questions, "
                "say numbered=no in its address",
                partial=silence.partial,
            ) from None

    async def resynchronise(self) -> None:
        await self.open()

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        answer: list[bytes] | None = None
        while answer is None:
            # What came may have been the last answer once more, which the socket drops.
            with contextlib.suppress(zmq.Again):
                answer = await socket.recv_multipart()
        self._numbers_doubted = False
        self._feed(b"".join(answer) + b"\n")

    def _reset(self) -> None:
        self._fail(DeviceLost(f"{self.address} is not open"))
        self._socket = self._answering = None

    def _pause(self) -> None:
        """One answer a question: there is nothing to hold back."""

    def _resume(self) -> None:
        """Never paused."""


def dropped_fault(address: str) -> DeviceRefused:
    """The error to raise when a peer hangs up before it has greeted."""
    return DeviceRefused(f"{address} took the connection and dropped it: does ZeroMQ listen there?")


async def _event(monitor: Any) -> int:
    return int(parse_monitor_message(await monitor.recv_multipart())["event"])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

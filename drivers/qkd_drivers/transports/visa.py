"""VISA resources through PyVISA and PyVISA-py, each behind one worker thread.

PyVISA-py opens closed ports happily, lets OSError, SerialException and RuntimeError through and
cannot be interrupted; this transport turns all that into the driver errors. It is meant for
instruments that users know by a VISA name, not for streams.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import re
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import pyvisa
import serial
from pyvisa.constants import ControlFlow, StatusCode
from pyvisa_py.tcpip import TCPIPSocketSession

from qkd_drivers.errors import (
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.transports.base import Transport
from qkd_drivers.transports.serial import open_fault
from qkd_drivers.transports.tcp import OPEN_TIMEOUT_S, connect_fault

T = TypeVar("T")

_MARGIN_S = 1.0  # a VISA call returns soon after its own timeout; past this it is given up
_MESSAGE_BASED = re.compile(r"::(INSTR|VXI-11)$", re.IGNORECASE)
_PORT = re.compile(r"ASRL(/.+?)(::INSTR)?", re.IGNORECASE)
_UNASKED_BYTES = 1 << 16


class VisaTransport(Transport):
    """One VISA resource; baud and rtscts are for serial ones, ``ASRL…``."""

    def __init__(
        self, address: str, resource: str, baud: int = 115200, *, rtscts: bool = False
    ) -> None:
        super().__init__(address)
        self.late_replies = self._is_serial = resource.upper().startswith("ASRL")
        self._resource = resource
        self._baud = baud
        self._flow = ControlFlow.rts_cts if rtscts else ControlFlow.none
        self._worker: _Worker | None = None
        self._session: Any = None
        self._buffer = bytearray()
        self._lock_fd = -1

    async def open(self) -> None:
        await self.close()
        await self._probe()
        self._lock_port()
        worker = self._worker = _Worker(f"visa {self._resource}")
        self._session = await self._call(lambda: self._open_session(worker), 10.0, "open")

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        self._session = None
        self._buffer.clear()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
        if worker is not None:
            worker.finish()

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        session = self._open_or_raise()

        def send() -> None:
            session.timeout = 1000 * timeout_s
            session.write_raw(data)

        await self._call(send, timeout_s, "write")

    async def read_until(self, pattern: bytes, *, timeout_s: float) -> bytes:
        expression = re.compile(pattern)

        def whole() -> int:
            match = expression.search(self._buffer)
            return match.end() if match else 0

        return await self._take(whole, timeout_s)

    async def read_exactly(self, count: int, *, timeout_s: float) -> bytes:
        return await self._take(lambda: count if len(self._buffer) >= count else 0, timeout_s)

    async def read_some(self, *, timeout_s: float) -> bytes:
        return await self._take(lambda: len(self._buffer), timeout_s)

    def discard(self) -> bytes:
        dropped = bytes(self._buffer)
        self._buffer.clear()
        return dropped

    async def take_unasked(self) -> bytes:
        if self._session is None or self._is_message_based:
            return self.discard()
        session = self._session

        def waiting() -> bytes:
            read = bytearray()
            session.timeout = 1
            for _ in range(_UNASKED_BYTES):
                try:
                    read += session.read_raw()
                except pyvisa.errors.VisaIOError:
                    # A serial read that is held up between two bytes gives up before the last.
                    if not getattr(session, "bytes_in_buffer", 0):
                        break
            return bytes(read)

        self._buffer += await self._call(waiting, 0.1, "read")
        return self.discard()

    async def drain(self, *, quiet_s: float = 0.05, limit_s: float = 1.0) -> bytes:
        read = bytearray()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        with contextlib.suppress(DeviceTimeout):
            while loop.time() < deadline:
                read += await self.read_some(timeout_s=quiet_s)
        return bytes(read)

    async def resynchronise(self) -> None:
        session = self._session
        self._buffer.clear()
        if session is not None and "hislip" in self._resource.lower():
            try:
                return await self._call(session.clear, 2.0, "device clear")
            except DeviceError:
                pass  # a session that cannot be cleared is replaced
        await self.open()

    @property
    def _is_message_based(self) -> bool:
        """Whether the medium itself tells where a reply ends and to what it belongs."""
        return not self._is_serial and _MESSAGE_BASED.search(self._resource) is not None

    def _lock_port(self) -> None:
        """PyVISA-py opens a serial port that another program holds; this transport does not."""
        if (port := _PORT.fullmatch(self._resource)) is None:
            return
        try:
            self._lock_fd = os.open(port[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1
            raise open_fault(port[1], error) from error

    def _open_or_raise(self) -> Any:
        if self._session is None:
            raise DeviceLost(f"{self.address} is not open")
        return self._session

    async def _take(self, ready: Callable[[], int], timeout_s: float) -> bytes:
        session = self._open_or_raise()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s

        def receive() -> bytes:
            session.timeout = max(1, round(1000 * (deadline - loop.time())))
            return bytes(session.read_raw())

        while not (count := ready()):
            left = deadline - loop.time()
            if left <= 0:
                raise self._late(timeout_s)
            try:
                self._buffer += await self._call(receive, left, "read")
            except DeviceTimeout:
                raise self._late(timeout_s) from None
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _late(self, timeout_s: float) -> DeviceTimeout:
        kept = bytes(self._buffer)
        return DeviceTimeout(
            f"no complete reply from {self.address} within {timeout_s:g} s, "
            f"{len(kept)} bytes came: {kept[:40]!r}",
            partial=kept,
        )

    async def _call(self, work: Callable[[], T], timeout_s: float, what: str) -> T:
        worker = self._worker
        if worker is None:
            raise DeviceLost(f"{self.address} is not open")
        try:
            async with asyncio.timeout(timeout_s + _MARGIN_S):
                return await worker.run(work)
        except TimeoutError:
            await self.close()
            raise DeviceTimeout(f"{self.address}: {what} hangs; the session was given up") from None
        except asyncio.CancelledError:
            # The thread cannot be interrupted: it ends by itself at its VISA timeout, and the
            # session is closed there; a new one is opened at the next use.
            await self.close()
            raise
        except DeviceError:
            raise
        except Exception as error:
            raise self._translate(error, what) from error

    def _translate(self, error: Exception, what: str) -> DeviceError:
        told = f"{self.address}: {what}: {error}"
        if what == "open" and _tcp_target(self._resource) is not None:
            # The probe got through, so the instrument is there and declines.
            return DeviceRefused(
                f"{self.address} took the connection but opens no session: {error}"
            )
        if isinstance(error, pyvisa.errors.VisaIOError):
            match error.error_code:
                case StatusCode.error_timeout:
                    return DeviceTimeout(told)
                case StatusCode.error_resource_not_found | StatusCode.error_invalid_resource_name:
                    return DeviceNotFound(told)
                case StatusCode.error_resource_busy | StatusCode.error_resource_locked:
                    return DeviceBusy(told)
            return DeviceLost(told)
        if isinstance(error, TimeoutError):
            return DeviceTimeout(told)
        if what == "open":
            if isinstance(error, serial.SerialException) and "No such file" in str(error):
                return DeviceNotFound(told)
            return DeviceRefused(told)
        return DeviceLost(told)

    def _open_session(self, worker: "_Worker") -> Any:
        # PyVISA-py logs a stack trace for each fault, which is told to the caller anyway.
        logging.getLogger("pyvisa").setLevel(logging.CRITICAL)
        manager = pyvisa.ResourceManager("@py")
        try:
            session: Any = manager.open_resource(self._resource)
        except Exception as error:
            _close_left_open(error)
            raise
        worker.session = session
        if self._is_serial:
            session.baud_rate = self._baud
            session.flow_control = self._flow
        if not self._is_message_based:
            # Without a termination character a raw socket never knows where a reply ends.
            session.read_termination = "\n"
        library_session = session.visalib.sessions[session.session]
        if isinstance(library_session, TCPIPSocketSession):
            library_session.interface = _TellingSocket(fileno=library_session.interface.detach())
        return session

    async def _probe(self) -> None:
        target = _tcp_target(self._resource)
        if target is None:
            return
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                _, writer = await asyncio.open_connection(*target)
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} did not accept a connection within {OPEN_TIMEOUT_S:g} s"
            ) from None
        except OSError as error:
            raise connect_fault(self.address, error) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _TellingSocket(socket.socket):
    """The socket of a SOCKET resource: PyVISA-py takes its end for silence, and asks on and on."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if not (data := super().recv(size, flags)):
            raise ConnectionResetError("the instrument closed the connection")
        return data


def _tcp_target(resource: str) -> tuple[str, int] | None:
    """Where a TCPIP resource listens, as far as its name tells."""
    hislip = re.fullmatch(r"TCPIP\d*::([^:]+)::hislip\d+(?:,(\d+))?(?:::INSTR)?", resource, re.I)
    if hislip:
        return hislip[1], int(hislip[2] or 4880)
    raw = re.fullmatch(r"TCPIP\d*::([^:]+)::(\d+)::SOCKET", resource, re.I)
    return (raw[1], int(raw[2])) if raw else None


def _close_left_open(error: BaseException | None) -> None:
    """Closes the sockets that PyVISA-py opened and forgot on its way to an error."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            owner = frame.f_locals.get("self")
            for left in list(getattr(owner, "__dict__", {}).values()):
                if isinstance(left, socket.socket):
                    left.close()
        error = error.__cause__ or error.__context__


def _close(session: Any) -> None:
    """Closes a session and strikes it off the library's lists, which would keep it for good."""
    library, handle = session.visalib, session.session
    with contextlib.suppress(Exception):  # closing a broken session may fail in any way
        session.close()
    for listed in vars(library).values():
        if isinstance(listed, dict):
            listed.pop(handle, None)


class _Worker:
    """A daemon thread that runs calls in order; an abandoned call does not hold up the exit.

    `session` is what the thread has opened and closes as its last act: it belongs to the thread,
    since whoever asked for it may be gone by the time it is open.
    """

    def __init__(self, name: str) -> None:
        self.session: Any = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def job() -> None:
            result: T | None = None
            fault: BaseException | None = None
            try:
                result = work()
            except BaseException as error:  # handed to the caller, whatever it is
                fault = error
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(settle, result, fault)

        self._jobs.put(job)
        return await future

    def finish(self) -> None:
        """Ends the thread after what is queued, and the session with it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self.session is not None:
            _close(self.session)

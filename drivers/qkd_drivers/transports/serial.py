"""Serial ports, read on the event loop's own descriptor watch, or in a thread while they flood."""

import asyncio
import contextlib
import errno
import os
import select
import time

import serial

from qkd_drivers.errors import (
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.transports.base import BufferedTransport

_READ_BYTES = 1 << 16
_FULL_BYTES = 4095  # all that a terminal holds for one read: more is waiting
_FLOOD_BYTES = 1 << 22
_FLOOD_S = 0.02
_GAP_MS = 1


class SerialTransport(BufferedTransport):
    """A serial port, opened for this program alone.

    pyserial configures the line; bytes are then read in one call as large as the kernel holds,
    since its own reader and that of PyVISA-py are far too slow for a tag stream. The kernel holds
    4 kB: a stream that fills them at every turn of the loop is read by a thread, until it pauses.
    """

    late_replies = True

    def __init__(
        self, address: str, port: str, baud: int = 115200, *, rtscts: bool = False
    ) -> None:
        super().__init__(address)
        self._port_name = port
        self._baud = baud
        self._rtscts = rtscts
        self._port: serial.Serial | None = None
        self._fd = -1
        self._watched = False
        self._paused = True
        self._flood: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.close()
        try:
            port = await asyncio.to_thread(self._open_port)
        except (serial.SerialException, OSError) as error:
            raise open_fault(self._port_name, error) from error
        self._port = port
        self._fd = port.fileno()
        self._start()
        self._resume()

    async def close(self) -> None:
        self._fail(DeviceLost(f"{self.address} is not open"))
        self._pause()
        if self._flood is not None:
            await asyncio.wait({self._flood})
        port, self._port, self._fd = self._port, None, -1
        if port is not None:
            # An unplugged port cannot restore its line settings.
            with contextlib.suppress(serial.SerialException, OSError):
                port.close()

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        self._check()
        view = memoryview(data)
        try:
            async with asyncio.timeout(timeout_s):
                while view:
                    try:
                        view = view[os.write(self._fd, view) :]
                    except BlockingIOError:
                        await self._writable()
        except TimeoutError:
            raise DeviceTimeout(
                f"{self.address} took only {len(data) - len(view)} of {len(data)} bytes "
                f"within {timeout_s:g} s"
            ) from None
        except OSError as error:
            self._lose(error.strerror or str(error))
            self._check()

    async def resynchronise(self) -> None:
        await self.drain()

    def _open_port(self) -> serial.Serial:
        # Handshake only where the model asks for it: others hold their replies back with CRTSCTS.
        return serial.Serial(
            self._port_name,
            self._baud,
            timeout=0,
            exclusive=True,
            rtscts=self._rtscts,
            dsrdtr=False,
        )

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if not data:
            self._lose("end of file")
            return
        self._feed(data)
        if len(data) >= _FULL_BYTES and not self._paused:
            self._watch(False)
            self._flood = asyncio.create_task(self._take_flood())

    async def _take_flood(self) -> None:
        memory = memoryview(bytearray(_FLOOD_BYTES))
        flooding = True
        while flooding and not self._paused:
            size, flooding, fault = await asyncio.to_thread(_read_flood, self._fd, memory)
            if size:
                self._feed(memory[:size])
            if fault:
                self._lose(fault)
        self._flood = None
        self._watch(not self._paused)

    def _lose(self, cause: str) -> None:
        self._pause()
        self._fail(DeviceLost(f"{self.address} was unplugged ({cause})"))

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._fd)

    def _pause(self) -> None:
        self._paused = True
        self._watch(False)

    def _resume(self) -> None:
        if self._fault is None:
            self._paused = False
            self._watch(self._flood is None)

    def _watch(self, wanted: bool) -> None:
        if wanted == self._watched:
            return
        self._watched = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_reader(self._fd, self._readable)
        else:
            loop.remove_reader(self._fd)


def _read_flood(fd: int, memory: memoryview) -> tuple[int, bool, str]:
    """Fills memory for a while, or until nothing comes: how far, whether it goes on, the fault."""
    size, until_s = 0, time.monotonic() + _FLOOD_S
    gaps = select.poll()
    gaps.register(fd, select.POLLIN)
    while size < len(memory) and time.monotonic() < until_s:
        try:
            read = os.readv(fd, [memory[size:]])
        except BlockingIOError:
            read = 0
        except OSError as error:
            return size, False, error.strerror or str(error)
        size += read
        # Whether it is a pause or the end, the loop will see.
        if not read and [event for _, event in gaps.poll(_GAP_MS)] != [select.POLLIN]:
            return size, False, ""
    return size, size > 0, ""


def open_fault(port: str, error: Exception) -> DeviceError:
    """The error to raise when a serial port could not be opened for this program alone."""
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceNotFound(f"there is no serial port {port}: is the device plugged in?")
    if code in (errno.EAGAIN, errno.EBUSY):
        return DeviceBusy(f"serial port {port} is held by another program: close it first")
    if code in (errno.EACCES, errno.EPERM):
        return DeviceRefused(f"no permission to open {port}: is the user in group dialout?")
    return DeviceRefused(f"serial port {port} cannot be opened: {error}")

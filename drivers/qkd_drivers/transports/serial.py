"""Serial ports, read on the event loop's own file descriptor watch."""

import asyncio
import contextlib
import errno
import os

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

_READ_BYTES = 1 << 20


class SerialTransport(BufferedTransport):
    """A serial port, opened for this program alone.

    pyserial configures the line; bytes are then read in one call as large as the kernel holds,
    since its own reader and that of PyVISA-py are far too slow for a tag stream.
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
        self._reading = False

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
        if data:
            self._feed(data)
        else:
            self._lose("end of file")

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
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._reading = False

    def _resume(self) -> None:
        if not self._reading and self._fault is None:
            asyncio.get_running_loop().add_reader(self._fd, self._readable)
            self._reading = True


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

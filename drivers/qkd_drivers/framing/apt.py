"""Thorlabs APT: binary messages of 6 bytes, or 6 and data; motors speak unasked."""

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from qkd_drivers.errors import DeviceError, DeviceProtocolError, DeviceTimeout
from qkd_drivers.framing.wire import Trace, Wire
from qkd_drivers.transports import Transport

HW_REQ_INFO, HW_GET_INFO = 0x0005, 0x0006
SET_ENABLED, REQ_ENABLED, GET_ENABLED = 0x0210, 0x0211, 0x0212
MOVE_HOME, MOVE_HOMED = 0x0443, 0x0444
MOVE_ABSOLUTE, MOVE_COMPLETED = 0x0453, 0x0464
MOVE_STOP, MOVE_STOPPED = 0x0465, 0x0466
REQ_STATUS, GET_STATUS = 0x0490, 0x0491

_HOST = 0x01
_DEVICE = 0x50  # "generic USB unit"
_LONG = 0x80
_HEADER_BYTES = 6
_MOST_DATA_BYTES = 512
_REST_S = 0.2


@dataclass(frozen=True)
class Message:
    """An APT message: short with two parameters, or long with data."""

    id: int
    first: int = 0
    second: int = 0
    data: bytes = b""

    @property
    def channel(self) -> int:
        """The first field, which names the channel wherever there is one."""
        return int.from_bytes(self.data[:2], "little") if self.data else self.first

    def encode(self) -> bytes:
        """As the host sends it to the device."""
        if self.data:
            head = struct.pack("<HHBB", self.id, len(self.data), _DEVICE | _LONG, _HOST)
            return head + self.data
        return struct.pack("<HBBBB", self.id, self.first, self.second, _DEVICE, _HOST)


class AptWire(Wire):
    """One APT device. Messages that answer nothing go to ``on_unasked``, in order.

    ``pause_s`` is the least time between two messages to the device.
    """

    def __init__(
        self, transport: Transport, device: str, trace: Trace | None = None, *, pause_s: float = 0.0
    ) -> None:
        super().__init__(transport, device, trace)
        self.on_unasked: Callable[[Message], None] = lambda message: None
        self._pause_s = pause_s
        self._sent_s = 0.0

    async def ask(self, request: Message, reply: int) -> Message:
        """The reply of that id, for the same channel where the request names one."""
        async with self.transaction(f"message 0x{request.id:04x}") as transport:
            await self.send(transport, request.encode())
            deadline = time.monotonic() + self.reply_timeout_s
            while True:
                left_s = max(0.001, deadline - time.monotonic())
                message = await self._read(transport, left_s)
                if message.id == reply and request.channel in (0, message.channel):
                    return message
                self.on_unasked(message)

    async def tell(self, message: Message) -> None:
        """Sends what has no reply, even on a wire in doubt: an order to stop must not wait."""
        try:
            async with self._lock:
                await self.send(self.transport, message.encode())
        except DeviceError as error:
            raise error.about(self.device, f"message 0x{message.id:04x}") from error

    async def send(self, transport: Transport, request: bytes) -> None:
        await asyncio.sleep(self._sent_s + self._pause_s - time.monotonic())
        await super().send(transport, request)
        self._sent_s = time.monotonic()

    async def _take_unasked(self) -> None:
        data = self.transport.discard()
        while data:
            end = _length(data)
            if end is not None and len(data) < end:
                try:
                    data += await self.transport.read_exactly(end - len(data), timeout_s=_REST_S)
                    continue
                except DeviceTimeout:
                    end = None
            if end is None:
                self.note("<", data)
                await self._resynchronise()
                return
            self.note("<", data[:end])
            self.on_unasked(_decode(data[:end]))
            data = data[end:]

    async def _read(self, transport: Transport, timeout_s: float) -> Message:
        data = await transport.read_exactly(_HEADER_BYTES, timeout_s=timeout_s)
        end = _length(data)
        if end is None:
            raise DeviceProtocolError(f"{data!r} begins no message", partial=data)
        if end > len(data):
            data += await transport.read_exactly(end - len(data), timeout_s=_REST_S)
        self.note("<", data)
        return _decode(data)

    def _landmark(self) -> tuple[bytes, bytes]:
        head = struct.pack("<HHB", HW_GET_INFO, 84, _HOST | _LONG)
        return Message(HW_REQ_INFO).encode(), b"(?s)" + _escaped(head) + b".{85}"


def _length(data: bytes) -> int | None:
    """Bytes of the message that begins here, as far as can be seen; None if none can."""
    if len(data) < _HEADER_BYTES:
        return _HEADER_BYTES
    if data[4] & ~_LONG != _HOST:
        return None
    if not data[4] & _LONG:
        return _HEADER_BYTES
    size = int.from_bytes(data[2:4], "little")
    return _HEADER_BYTES + size if 2 <= size <= _MOST_DATA_BYTES else None


def _decode(data: bytes) -> Message:
    number = int.from_bytes(data[:2], "little")
    if data[4] & _LONG:
        return Message(number, data=data[_HEADER_BYTES:])
    return Message(number, data[2], data[3])


def _escaped(data: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in data)

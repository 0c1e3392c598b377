"""What the Thorlabs rotators that speak APT have in common."""

import asyncio
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, Reading, Rotator
from qkd_drivers.errors import (
    DeviceError,
    DeviceMismatch,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import AptWire, Trace, apt
from qkd_drivers.framing.apt import Message
from qkd_drivers.transports import make_transport

MOVE_TIMEOUT_S = 120.0
POLL_S = 0.05
STALLED_S = 1.0
"""A motor that stands elsewhere than sent for this long will not get there."""
_MOVING = 0x10 | 0x20 | 0x40 | 0x80 | 0x200  # towards either side, jogging, homing
_HOMED = 0x400
_ENABLED = 1


@dataclass(frozen=True)
class _Status:
    counts: int
    velocity: int
    bits: int

    @property
    def moving(self) -> bool:
        return self.velocity != 0 or bool(self.bits & _MOVING)


class AptRotator(Rotator):
    """Motors that are sent to a count; each move ends with a message that nobody asked for.

    The driver asks for the status as well, so that a message that got lost does no harm.
    """

    static_limits: ClassVar[Mapping[str, Limits]]
    mark: ClassVar[str]
    """What the model number begins with."""
    channels: ClassVar[tuple[int, ...]]
    """How messages name the axes."""
    counts_per_deg: ClassVar[float]
    tolerance_counts: ClassVar[int]
    """A motor this near has arrived."""
    pause_s: ClassVar[float] = 0.0
    """The least time between two messages."""

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.axis_count = len(self.channels)
        self.name = name
        self.identity = Identity("")
        transport = make_transport(address, default_flow="rtscts")
        self._wire = AptWire(transport, name, trace, pause_s=self.pause_s)
        self._wire.on_unasked = self._unasked
        self._homing: dict[int, asyncio.Event] = {}
        self._homed: set[int] = set()
        self._tells_homed = False

    async def connect(self) -> None:
        self._homed.clear()
        await self._wire.open()
        info = (await self._wire.ask(Message(apt.HW_REQ_INFO), apt.HW_GET_INFO)).data
        if len(info) != 84:
            raise DeviceProtocolError(f"{self.name}: {info!r} is no hardware information")
        serial_number, model, _, minor, interim, major, _ = struct.unpack("<I8sHBBBB", info[:18])
        found = model.partition(b"\0")[0].decode("ascii", "replace").strip()
        if not found.upper().startswith(self.mark):
            raise DeviceMismatch(
                f"{self.name}: the device at this address says it is {found!r}, "
                f"not a {self.mark}: check the address"
            )
        self.identity = Identity(found, str(serial_number), f"{major}.{interim}.{minor}")

    async def close(self) -> None:
        await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        if self.axis_count == 1:
            return {"position_deg": Reading(await self.position_deg(1), "°", now)}
        return {
            f"position_{axis}_deg": Reading(await self.position_deg(axis), "°", now)
            for axis in range(1, self.axis_count + 1)
        }

    async def limits(self) -> dict[str, Limits]:
        return {"position_deg": self.static_limits["positions_deg"]}

    async def home(self, axis: int) -> None:
        channel = self._channel(axis)
        await self._travel(channel, Message(apt.MOVE_HOME, channel), None)
        self._homed.add(channel)

    async def homed(self, axis: int) -> bool:
        channel = self._channel(axis)
        told = bool((await self._status(channel)).bits & _HOMED)
        self._tells_homed = self._tells_homed or told
        # A unit that never shows the bit is taken to be homed once it was, in this connection.
        return told if self._tells_homed else channel in self._homed

    async def move_to_deg(self, axis: int, degrees: float) -> None:
        channel = self._channel(axis)
        self.static_limits["positions_deg"].check("position_deg", degrees)
        counts = round(degrees * self.counts_per_deg)
        order = Message(apt.MOVE_ABSOLUTE, data=struct.pack("<Hi", channel, counts))
        await self._travel(channel, order, counts)

    async def position_deg(self, axis: int) -> float:
        return (await self._status(self._channel(axis))).counts / self.counts_per_deg

    async def _travel(self, channel: int, order: Message, target: int | None) -> None:
        """Sends a motor off and returns when it has arrived; target is None on the way home."""
        await self._enable(channel)
        homed = self._homing[channel] = asyncio.Event()
        begun = time.monotonic()
        still_since = begun
        try:
            await self._wire.tell(order)
            while True:
                status = await self._status(channel)
                now = time.monotonic()
                if status.moving:
                    still_since = now
                elif homed.is_set() or (target is not None and self._near(status, target)):
                    return
                elif now - still_since > STALLED_S:
                    if target is None and status.bits & _HOMED:
                        return
                    raise DeviceRefused(
                        f"{self.name}: channel {channel} stands still at "
                        f"{status.counts / self.counts_per_deg:.2f}°, status {status.bits:#010x}"
                    )
                if now - begun > MOVE_TIMEOUT_S:
                    await self._wire.tell(Message(apt.MOVE_STOP, channel, 1))
                    raise DeviceTimeout(f"{self.name}: channel {channel} moves without end")
                await asyncio.sleep(POLL_S)
        except asyncio.CancelledError:
            with suppress(DeviceError):
                await self._wire.tell(Message(apt.MOVE_STOP, channel, 1))
            raise

    async def _enable(self, channel: int) -> None:
        """Enables all channels if this one is not: the order is a mask that disables the rest."""
        state = await self._wire.ask(Message(apt.REQ_ENABLED, channel), apt.GET_ENABLED)
        if state.second != _ENABLED:
            await self._wire.tell(Message(apt.SET_ENABLED, sum(self.channels), _ENABLED))

    async def _status(self, channel: int) -> _Status:
        data = (await self._wire.ask(Message(apt.REQ_STATUS, channel), apt.GET_STATUS)).data
        if len(data) != 14:
            self._wire.doubt()
            raise DeviceProtocolError(f"{self.name}: {data!r} is no status")
        _, counts, velocity, _, bits = struct.unpack("<HihhI", data)
        return _Status(counts, velocity, bits)

    def _unasked(self, message: Message) -> None:
        # A move ends where the motor was sent; the end of homing has no other sign.
        if message.id == apt.MOVE_HOMED and message.channel in self._homing:
            self._homing[message.channel].set()

    def _near(self, status: _Status, target: int) -> bool:
        return abs(status.counts - target) <= self.tolerance_counts

    def _channel(self, axis: int) -> int:
        Limits(1, self.axis_count).check("axis", axis)
        return self.channels[axis - 1]

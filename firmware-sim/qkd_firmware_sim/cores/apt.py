"""The firmware that Thorlabs motor controllers share: binary APT messages and moving motors."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from qkd_firmware_sim.cores.core import PS_PER_S, Motorised, SerialCore

_HOST, _DEVICE, _LONG = 0x01, 0x50, 0x80
_HEADER_BYTES = 6
_MOST_DATA_BYTES = 512
_UPDATE_PS = PS_PER_S // 10
_STALL_PS = PS_PER_S // 5

FORWARD, REVERSE, HOMING, HOMED, MOTION_ERROR, ENABLED = (
    0x10,
    0x20,
    0x200,
    0x400,
    0x4000,
    0x80000000,
)


@dataclass
class Motor:
    """One motor: its counter, the true count under it, and a move under way.

    The counter starts at 0 wherever the motor stands; homing finds the true zero.
    """

    channel: int
    counter: float = 0.0
    origin: float = 0.0
    enabled: bool = True
    homed: bool = False
    homing: bool = False
    target: float | None = None
    begun_ps: int = 0
    failed: bool = False

    @property
    def bits(self) -> int:
        moving = 0
        if self.target is not None:
            moving = FORWARD if self.target > self.counter else REVERSE
        flags = ((HOMED, self.homed), (HOMING, self.homing), (MOTION_ERROR, self.failed))
        found = moving | (ENABLED if self.enabled else 0)
        return found | sum(bit for bit, on in flags if on)


class AptCore(Motorised, SerialCore):
    """Splits messages, moves motors, and tells when they arrive."""

    model: str
    hardware_type = 16
    counts_per_deg: float
    degrees_per_s: float
    range_counts = (-(2**31), 2**31 - 1)
    enabled_at_start = True

    def __init__(
        self, serial_number: str, channels: tuple[int, ...], *, speed: float = 1.0
    ) -> None:
        super().__init__()
        digits = "".join(c for c in serial_number if c.isdigit())
        self._serial_number = int(digits or "1") % 10**8
        self.identity = self.model
        """Its model number, of eight letters at most."""
        self._speed = speed
        self._input = bytearray()
        self._updates_ps: int | None = None
        self.latched = False
        self.motors = {c: Motor(c, enabled=self.enabled_at_start) for c in channels}
        self._orders: dict[int, Callable[[bytes], None]] = {
            0x0005: self._tell_info,
            0x0011: lambda _: self._set_updates(True),
            0x0012: lambda _: self._set_updates(False),
            0x0210: self._set_enabled,
            0x0211: self._tell_enabled,
            0x0223: lambda _: None,  # the lamp flashes
            0x0411: self._tell_position,
            0x0429: self._tell_bits,
            0x0443: self._home,
            0x0448: lambda data: self._move(data, relative=True),
            0x0453: lambda data: self._move(data, relative=False),
            0x0465: self._stop,
            0x0490: self._tell_status,
            0x0492: lambda _: None,  # the host has seen an update
        }

    @property
    def angles_deg(self) -> tuple[float, ...]:
        """Where the motors truly stand."""
        return tuple((m.origin + m.counter) / self.counts_per_deg for m in self.motors.values())

    @property
    def busy(self) -> bool:
        """Whether a motor moves."""
        return any(motor.target is not None for motor in self.motors.values())

    def power_cycle(self) -> None:
        super().power_cycle()
        self._input.clear()
        self._updates_ps = None
        for channel, motor in self.motors.items():
            stands = motor.origin + motor.counter
            self.motors[channel] = Motor(channel, origin=stands, enabled=self.enabled_at_start)
        self._restart()

    lose_settings = power_cycle

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S
        super().advance(now_ps)
        for motor in self.motors.values():
            self._run(motor, elapsed_s)
        if self._updates_ps is not None and now_ps >= self._updates_ps:
            self._updates_ps = now_ps + _UPDATE_PS
            for motor in self.motors.values():
                self._send(0x0491, self._status_of(motor))

    def receive(self, data: bytes) -> None:
        self._input += data
        while len(self._input) >= _HEADER_BYTES:
            if self._input[4] & ~_LONG != _DEVICE or self._input[5] != _HOST:
                del self._input[0]
                continue
            long = bool(self._input[4] & _LONG)
            size = int.from_bytes(self._input[2:4], "little") if long else 0
            if size > _MOST_DATA_BYTES:
                del self._input[0]
                continue
            if len(self._input) < _HEADER_BYTES + size:
                return
            message = bytes(self._input[: _HEADER_BYTES + size])
            del self._input[: _HEADER_BYTES + size]
            order = self._orders.get(int.from_bytes(message[:2], "little"))
            if order is not None:
                order(message[_HEADER_BYTES:] if long else message[2:4])

    def _restart(self) -> None:
        """Back to the settings at power-up."""

    def _speed_counts_per_s(self, motor: Motor) -> float:
        return self.degrees_per_s * self.counts_per_deg * self._speed

    def _run(self, motor: Motor, elapsed_s: float) -> None:
        if motor.target is None:
            return
        if self.latched:
            if self.now_ps - motor.begun_ps > _STALL_PS:
                motor.target, motor.homing, motor.failed = None, False, True
            return
        left = motor.target - motor.counter
        step = self._speed_counts_per_s(motor) / self.slowness * elapsed_s
        if abs(left) > step:
            motor.counter += math.copysign(step, left)
            return
        motor.counter, motor.target = motor.target, None
        if motor.homing:
            motor.origin, motor.counter = 0.0, 0.0
            motor.homing, motor.homed = False, True
            self._send_short(0x0444, motor.channel)
        else:
            self._send(0x0464, self._end_of_move(motor))

    def _home(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is not None and motor.enabled:
            self._begin(motor, -motor.origin)
            motor.homing, motor.homed = True, False

    def _move(self, data: bytes, *, relative: bool) -> None:
        if len(data) != 6:
            return
        channel, counts = struct.unpack("<Hi", data)
        motor = self.motors.get(channel)
        if motor is None or not motor.enabled:
            return
        low, high = self.range_counts
        target = motor.counter + counts if relative else float(counts)
        self._begin(motor, min(high, max(low, target)))
        motor.homing = False

    def _begin(self, motor: Motor, target: float) -> None:
        motor.target, motor.begun_ps, motor.failed = target, self.now_ps, False

    def _stop(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is None:
            return
        if motor.target is not None:
            motor.target, motor.homing = None, False
            motor.counter = float(round(motor.counter))
        self._send(0x0466, self._end_of_move(motor))

    def _set_enabled(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is not None:
            motor.enabled = data[1] == 1

    def _tell_enabled(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is not None:
            self._send_short(0x0212, motor.channel, 1 if motor.enabled else 2)

    def _tell_position(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is not None:
            self._send(0x0412, struct.pack("<Hi", motor.channel, round(motor.counter)))

    def _tell_bits(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is not None:
            self._send(0x042A, struct.pack("<HI", motor.channel, motor.bits))

    def _tell_status(self, data: bytes) -> None:
        motor = self.motors.get(data[0])
        if motor is not None:
            self._send(0x0491, self._status_of(motor))

    def _tell_info(self, _: bytes) -> None:
        info = struct.pack(
            "<I8sHBBBB60sHHH",
            self._serial_number,
            self.identity.encode("ascii", "replace"),
            self.hardware_type,
            3,
            0,
            2,
            0,
            b"",
            1,
            0,
            len(self.motors),
        )
        self._send(0x0006, info)

    def _set_updates(self, on: bool) -> None:
        self._updates_ps = self.now_ps + _UPDATE_PS if on else None

    def _status_of(self, motor: Motor) -> bytes:
        velocity = 0 if motor.target is None else 100
        counts = round(motor.counter)
        return struct.pack("<HihhI", motor.channel, counts, velocity, 5 * velocity, motor.bits)

    def _end_of_move(self, motor: Motor) -> bytes:
        return struct.pack("<HiHHI", motor.channel, round(motor.counter), 0, 0, motor.bits)

    def _send(self, number: int, data: bytes) -> None:
        head = struct.pack("<HHBB", number, len(data), _HOST | _LONG, _DEVICE)
        self._emit(head + data)

    def _send_short(self, number: int, first: int = 0, second: int = 0) -> None:
        self._emit(struct.pack("<HBBBB", number, first, second, _HOST, _DEVICE))

"""Thorlabs Elliptec ELL14: rotation mounts on one serial bus, each with its wave plate."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qkd_firmware_sim.cores.core import PS_PER_S, Motorised, SerialCore
from qkd_firmware_sim.optics import Matrix, retarder

COUNTS_PER_TURN = 0x23000
QUARTER, HALF = math.pi / 2, math.pi

_TURNS_PER_S = 1.2
_TOO_SOON_PS = 50_000_000_000  # how soon is too soon is not public; drivers wait 100 ms
_MESSAGE_PS = PS_PER_S // 2
_DATA_DIGITS = {"ma": 8, "mr": 8, "sj": 8, "so": 8, "sv": 2, "ho": 1, "ca": 1}
_MOTOR = "10" + "0320" + "FFFF" + "FFFF" + "00AF" + "0092"
_COMMUNICATION, _MECHANICAL, _UNKNOWN, _RANGE, _BUSY = 1, 2, 3, 4, 9
_OK = 0


@dataclass
class _Settings:
    velocity: int = 100
    jog: int = COUNTS_PER_TURN // 8
    home_offset: int = 0


class _Mount:
    """One mount: its counter, the true angle under it, and a move under way.

    The counter starts at 0 wherever the mount stands; homing finds the true zero.
    """

    def __init__(self, serial_number: str, retardance_rad: float) -> None:
        self.serial_number = serial_number
        self.retardance_rad = retardance_rad
        self.latched = False
        self.saved = _Settings()
        self.origin = 0
        self.power_up(0)

    def power_up(self, stands: int) -> None:
        self.settings = _Settings(**vars(self.saved))
        self.origin = stands
        self.counter = 0.0
        self.status = _OK
        self.target: int | None = None
        self.homing = False
        self.stopped_ps: int | None = None

    @property
    def stands(self) -> int:
        """The true position in counts."""
        return round(self.origin + self.counter)

    @property
    def angle_rad(self) -> float:
        return 2 * math.pi * (self.origin + self.counter) / COUNTS_PER_TURN


class Ell14Bus(Motorised, SerialCore):
    """The mounts of a bus; the optical side is `turn`, in the order of their addresses.

    Requests carry no terminator: their length follows from their two letters.
    """

    def __init__(
        self,
        serial_number: str,
        retardances_rad: Sequence[float] = (QUARTER, HALF, QUARTER),
        *,
        speed: float = 1.0,
    ) -> None:
        super().__init__()
        digits = re.sub(r"\D", "", serial_number)
        first = int(digits or "1") * 100
        self.identity = "0E"
        """Of every mount: the two digits of its type."""
        self._speed = speed
        self._input = bytearray()
        self._heard_ps = 0
        self.mounts = {
            f"{i:X}": _Mount(f"{(first + i) % 10**8:08d}", retardance)
            for i, retardance in enumerate(retardances_rad)
        }

    def turn(self, half_wave_voltage_mv: float) -> Matrix:
        """What the plates do to the polarisation, the one with the lowest address first."""
        total: Matrix = np.eye(3)
        for _, mount in sorted(self.mounts.items()):
            total = retarder(mount.retardance_rad, mount.angle_rad) @ total
        return total

    @property
    def angles_deg(self) -> tuple[float, ...]:
        """Where the mounts truly stand, in the order of their addresses."""
        return tuple(math.degrees(mount.angle_rad) for _, mount in sorted(self.mounts.items()))

    @property
    def busy(self) -> bool:
        """Whether a mount moves."""
        return any(mount.target is not None for mount in self.mounts.values())

    @property
    def latched(self) -> bool:
        """Whether the motors are jammed: moves end with a mechanical time-out."""
        return any(mount.latched for mount in self.mounts.values())

    @latched.setter
    def latched(self, jammed: bool) -> None:
        for mount in self.mounts.values():
            mount.latched = jammed

    def press_button(self, address: str, counts: int) -> None:
        """A hand at the handset: the mount turns by counts and says so unasked."""
        mount = self.mounts[address]
        self._say(address, "BS01")
        mount.counter += counts
        self._say(address, f"BO{_hex(mount.counter)}")

    def power_cycle(self) -> None:
        super().power_cycle()
        self._input.clear()
        for mount in self.mounts.values():
            mount.power_up(mount.stands)

    def lose_settings(self) -> None:
        """A reset after the stored settings were lost."""
        for mount in self.mounts.values():
            mount.saved = _Settings()
        self.power_cycle()

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S
        super().advance(now_ps)
        for address, mount in self.mounts.items():
            self._run(address, mount, elapsed_s)
        if self._input and now_ps - self._heard_ps > _MESSAGE_PS:
            mount_or_none = self.mounts.get(chr(self._input[0]))
            if mount_or_none is not None:
                mount_or_none.status = _COMMUNICATION
            self._input.clear()

    def receive(self, data: bytes) -> None:
        self._heard_ps = self.now_ps
        self._input += data.replace(b"\r", b"").replace(b"\n", b"")
        while message := self._next_message():
            address, command, argument = message
            if address in self.mounts:
                self._execute(address, self.mounts[address], command, argument)

    def _next_message(self) -> tuple[str, str, str] | None:
        """The next whole request; what cannot begin one is skipped."""
        while self._input:
            text = self._input.decode("latin-1")
            head = re.match(r"([0-9A-F])([a-z][a-z1-3])", text)
            if head is None:
                if len(text) < 3 and re.fullmatch(r"[0-9A-F][a-z]?", text):
                    return None
                del self._input[0]
                continue
            end = 3 + _DATA_DIGITS.get(head[2], 0)
            if len(text) < end:
                return None
            del self._input[:end]
            return head[1], head[2], text[3:end]
        return None

    def _execute(self, address: str, mount: _Mount, command: str, argument: str) -> None:
        if mount.target is not None:
            self._status(address, _BUSY)
            return
        if not re.fullmatch("[0-9A-F]*", argument):
            mount.status = _UNKNOWN
        elif command in _MOVES:
            self._move(mount, command, argument)
            if mount.target is not None:
                return
        elif command == "in":
            self._say(address, _identity(self.identity, mount))
            return
        elif command in _QUERIES:
            self._say(address, _QUERIES[command](mount))
            return
        elif command == "gs":
            status, mount.status = mount.status, _OK
            self._status(address, status)
            return
        elif command == "ca":
            self._readdress(address, argument)
            return
        elif not _set(mount, command, argument):
            mount.status = _UNKNOWN
        self._status(address, mount.status)

    def _move(self, mount: _Mount, command: str, argument: str) -> None:
        step = {"fw": mount.settings.jog, "bw": -mount.settings.jog}
        match command:
            case "ho" if argument in "01":
                target = mount.settings.home_offset - mount.origin
            case "ma":
                target = _signed(argument)
            case "mr":
                target = round(mount.counter) + _signed(argument)
            case "fw" | "bw":
                target = round(mount.counter) + step[command]
            case _:
                mount.status = _UNKNOWN
                return
        if command != "ho":
            if not -COUNTS_PER_TURN <= target <= COUNTS_PER_TURN:
                mount.status = _RANGE
                return
            soon = mount.stopped_ps is not None and self.now_ps - mount.stopped_ps < _TOO_SOON_PS
            target = 0 if soon else target
        mount.homing = command == "ho"
        mount.target = target

    def _run(self, address: str, mount: _Mount, elapsed_s: float) -> None:
        if mount.target is None:
            return
        if mount.latched:
            mount.target, mount.homing, mount.status = None, False, _MECHANICAL
            self._status(address, _MECHANICAL)
            return
        pace = self._speed / self.slowness * mount.settings.velocity / 100
        rate = COUNTS_PER_TURN * _TURNS_PER_S * pace
        left = mount.target - mount.counter
        step = rate * elapsed_s
        if abs(left) > step:
            mount.counter += math.copysign(step, left)
            return
        mount.counter, mount.target = float(mount.target), None
        mount.stopped_ps = self.now_ps
        if mount.homing:
            mount.origin, mount.counter, mount.homing = mount.settings.home_offset, 0.0, False
        self._say(address, f"PO{_hex(mount.counter)}")

    def _readdress(self, address: str, argument: str) -> None:
        if argument != address and argument in self.mounts:
            self.mounts[address].status = _UNKNOWN
            self._status(address, _UNKNOWN)
            return
        self.mounts[argument] = self.mounts.pop(address)
        self._status(argument, _OK)

    def _status(self, address: str, status: int) -> None:
        self._say(address, f"GS{status:02X}")

    def _say(self, address: str, text: str) -> None:
        self._emit(f"{address}{text}\r\n".encode())


def _set(mount: _Mount, command: str, argument: str) -> bool:
    """Carries out a setting; False for one that is unknown or out of range."""
    settings = mount.settings
    match command:
        case "sv" if 0 < int(argument, 16) <= 100:
            settings.velocity = int(argument, 16)
        case "sj":
            settings.jog = _signed(argument)
        case "so":
            settings.home_offset = _signed(argument)
        case "us":
            mount.saved = _Settings(**vars(settings))
        case "s1" | "s2":
            pass  # the search for the motors' frequencies finds the same again
        case _:
            return False
    return True


def _identity(kind: str, mount: _Mount) -> str:
    return f"IN{kind}{mount.serial_number}20211701{360:04X}{COUNTS_PER_TURN:08X}"


_QUERIES: dict[str, Callable[[_Mount], str]] = {
    "gp": lambda mount: f"PO{_hex(mount.counter)}",
    "gv": lambda mount: f"GV{mount.settings.velocity:02X}",
    "gj": lambda mount: f"GJ{_hex(mount.settings.jog)}",
    "go": lambda mount: f"HO{_hex(mount.settings.home_offset)}",
    "i1": lambda mount: f"I1{_MOTOR}",
    "i2": lambda mount: f"I2{_MOTOR}",
}
_MOVES = ("ho", "ma", "mr", "fw", "bw")


def _hex(counts: float) -> str:
    return f"{round(counts) & 0xFFFFFFFF:08X}"


def _signed(digits: str) -> int:
    value = int(digits, 16)
    return value - (value >> 31 << 32)

"""OZ Optics EPC-400: four fibre squeezers, each driven by -5 to +5 V."""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from qkd_firmware_sim.cores.core import Revised, SerialCore
from qkd_firmware_sim.optics import Matrix, squeezers

_CHANNELS = 4
_LIMIT_MV = 5000
_LONGEST_COMMAND = 64


class Epc400(Revised, SerialCore):
    """The controller's firmware; its optical side is `turn`.

    Each command answers its content lines, if any, and then ``Done``.
    """

    revisions: ClassVar[Mapping[str, str]] = {
        "echo": "the command comes back as the first line of its answer",
        "blank": "an empty line follows Done",
    }

    def __init__(
        self,
        voltages_mv: tuple[int, int, int, int] = (0, 0, 0, 0),
        *,
        random: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self._random = random or np.random.default_rng(0)
        self._scrambled_mv: tuple[int, ...] = (0,) * _CHANNELS
        self._saved_mv = voltages_mv
        self._line = bytearray()
        self._restart()

    @property
    def voltages_mv(self) -> tuple[int, ...]:
        return tuple(self._voltages_mv)

    @property
    def scrambling(self) -> bool:
        """AC mode: the squeezers swing and the polarisation with them."""
        return self._alternating

    def turn(self, half_wave_voltage_mv: float) -> Matrix:
        """What the squeezers do to the polarisation at this moment."""
        volts = self._scrambled_mv if self._alternating else self._voltages_mv
        return squeezers(volts, half_wave_voltage_mv)

    def advance(self, now_ps: int) -> None:
        super().advance(now_ps)
        if self._alternating:
            self._scrambled_mv = tuple(int(v) for v in self._random.integers(-5000, 5001, 4))

    def receive(self, data: bytes) -> None:
        self._line += data
        *commands, rest = re.split(rb"[\r\n]", bytes(self._line))
        self._line = bytearray(rest[-_LONGEST_COMMAND:])
        for command in commands:
            text = command.decode("ascii", "replace").strip().upper()
            if text:
                answer = self._answer(text)
                told = "Error!\r\n" if answer is None else f"{answer}Done\r\n"
                echo = f"{text}\r\n" if self.revision == "echo" else ""
                blank = "\r\n" if self.revision == "blank" else ""
                self._emit(f"{echo}{told}{blank}".encode())

    def power_cycle(self) -> None:
        super().power_cycle()
        self._line.clear()
        self._restart()

    def lose_settings(self) -> None:
        """A reset after the stored settings were lost."""
        self._saved_mv = (0, 0, 0, 0)
        self.power_cycle()

    def _restart(self) -> None:
        self._voltages_mv = list(self._saved_mv)
        self._frequencies_hz = [7, 17, 37, 71]
        self._alternating = False
        self._sine = True
        self._variable_frequency = [False] * _CHANNELS

    def _answer(self, command: str) -> str | None:
        """The content lines of a reply; None for a command that the firmware refuses."""
        queries: dict[str, Callable[[], str]] = {
            "V?": self._voltage_line,
            "F?": self._frequency_line,
            "M?": lambda: f"Work Mode: {'AC' if self._alternating else 'DC'}",
            "VF?": lambda: "VF: " + " ".join(str(int(on)) for on in self._variable_frequency),
            "WF?": lambda: f"AC Waveform: {'Sine' if self._sine else 'Triangle'}",
        }
        if command in queries:
            return queries[command]() + "\r\n"
        return "" if self._apply(command) else None

    def _apply(self, command: str) -> bool:
        if match := re.fullmatch(r"V([1-4]),\s*([+-]?\d{1,5})", command):
            return self._set_voltage(int(match[1]), int(match[2]))
        if match := re.fullmatch(r"V([HLZ])([1-4])", command):
            return self._set_voltage(int(match[2]), {"H": 5000, "L": -5000, "Z": 0}[match[1]])
        if match := re.fullmatch(r"F([1-4]),\s*(\d{1,3})", command):
            if int(match[2]) > 100:
                return False
            self._frequencies_hz[int(match[1]) - 1] = int(match[2])
        elif match := re.fullmatch(r"VF([1-4])", command):
            self._variable_frequency[int(match[1]) - 1] ^= True
        elif match := re.fullmatch(r"ENVF([01])", command):
            self._variable_frequency = [match[1] == "1"] * _CHANNELS
        elif match := re.fullmatch(r"WF([12])", command):
            self._sine = match[1] == "1"
        elif command in ("MAC", "MDC"):
            self._alternating = command == "MAC"
        elif command == "SAVE":
            v1, v2, v3, v4 = self._voltages_mv
            self._saved_mv = (v1, v2, v3, v4)
        else:
            return False
        return True

    def _set_voltage(self, channel: int, millivolt: int) -> bool:
        if abs(millivolt) > _LIMIT_MV:
            return False
        self._voltages_mv[channel - 1] = millivolt
        return True

    def _voltage_line(self) -> str:
        values = " ".join(f"CH{i} {mv:+d}" for i, mv in enumerate(self._voltages_mv, 1))
        return f"Voltage(mV): {values}"

    def _frequency_line(self) -> str:
        values = "  ".join(f"CH{i} {hz:03d}" for i, hz in enumerate(self._frequencies_hz, 1))
        return f"Frequency(Hz): {values}"

"""JDSU HA9: a bench attenuator with a beam block, in commands from before IEEE 488.2.

Settings are silent; what is not understood is silent, too.
"""

import math
import re

from qkd_firmware_sim.cores.core import PS_PER_S, Motorised
from qkd_firmware_sim.cores.lines import Busy, LineCore

_SHORTEST_M, _LONGEST_M, _RESET_M = 1.2e-6, 1.65e-6, 1.31e-6
_DB_PER_S = 40.0
_SETTLED = 4
_UNITS_M = {"": 1.0, "M": 1.0, "UM": 1e-6, "NM": 1e-9}


class Ha9(Motorised, LineCore):
    """The box's firmware; its optical side is `loss_db`."""

    def __init__(self, *, max_db: float = 100.0, motor_speed: float = 1.0) -> None:
        super().__init__(reply_end="\n")
        self._max_db = max_db
        self._motor_speed = motor_speed
        self._reset()

    @property
    def loss_db(self) -> float:
        return math.inf if self._blocked else self._stands_db

    @property
    def wavelength_m(self) -> float:
        return self._wavelength_m

    def advance(self, now_ps: int) -> None:
        pace = self._motor_speed / self.slowness
        step_db = _DB_PER_S * pace * (now_ps - self.now_ps) / PS_PER_S
        gap_db = self._wanted_db - self._stands_db
        self._stands_db += max(-step_db, min(step_db, gap_db))
        super().advance(now_ps)

    def power_cycle(self) -> None:
        super().power_cycle()
        self._reset()

    def lose_settings(self) -> None:
        """The box starts with the same settings after each power-up."""
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        answers = [self._execute(command.strip()) for command in line.upper().split(";")]
        return ";".join(filter(None, answers))

    def _reset(self) -> None:
        self._blocked = True
        self._driver = 0
        self._mask = 0
        self._display = 0
        self._wavelength_m = _RESET_M
        self._wanted_db = self._stands_db = 0.0

    def _execute(self, command: str) -> str:
        if command.endswith("?") or "? " in command:
            return self._query(command)
        if match := re.fullmatch(r"ATT ([\d.]+)( ?DB)?", command):
            if float(match[1]) <= self._max_db:
                self._wanted_db = float(match[1])
        elif match := re.fullmatch(r"WVL ([\d.]+(?:E-?\d+)?) ?(M|UM|NM)?", command):
            wanted_m = float(match[1]) * _UNITS_M[match[2] or ""]
            if _SHORTEST_M <= wanted_m <= _LONGEST_M:
                self._wavelength_m = wanted_m
        elif match := re.fullmatch(r"D ?([01])", command):
            self._blocked = match[1] == "1"
        elif match := re.fullmatch(r"XDR ?([01])", command):
            self._driver = int(match[1])
        elif match := re.fullmatch(r"DISP ?(\d)", command):
            self._display = int(match[1])
        elif match := re.fullmatch(r"SRE (\d{1,3})", command):
            self._mask = int(match[1])
        elif command == "RESET":
            self._reset()
        return ""

    def _query(self, command: str) -> str:
        answers = {
            "ATT?": f"{self._wanted_db:.2f}",
            "WVL?": f"{self._wavelength_m:.5E}",
            "WVL? MIN": f"{_SHORTEST_M:.5E}",
            "WVL? MAX": f"{_LONGEST_M:.5E}",
            "D?": str(int(self._blocked)),
            "XDR?": str(self._driver),
            "SRE?": str(self._mask),
            "CNB?": str(_SETTLED if self._stands_db == self._wanted_db else 0),
        }
        return answers.get(command, "")

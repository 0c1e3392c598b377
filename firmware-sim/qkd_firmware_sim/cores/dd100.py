"""OZ Optics DD-100-MC: an attenuator whose motor must find its home after power-up."""

import re
from collections.abc import Mapping
from typing import ClassVar

from qkd_firmware_sim.cores.core import PS_PER_S, Motorised, Revised
from qkd_firmware_sim.cores.lines import Busy, LineCore

_HOME_S = 35.0
_RESTART_S = 38.0
_DB_PER_S = 20.0
_STEPS_PER_DB = 100


class Dd100(Motorised, Revised, LineCore):
    """The box's firmware; its optical side is `loss_db`.

    Each command answers its content lines, if any, then ``Done`` and an empty line; or ``Error!``.
    """

    revisions: ClassVar[Mapping[str, str]] = {
        "echo": "the command comes back as the first line of its answer",
        "done": "an error is followed by Done, as an answer is",
    }

    def __init__(
        self,
        *,
        insertion_loss_db: float = 0.8,
        max_db: float = 60.0,
        motor_speed: float = 1.0,
    ) -> None:
        super().__init__()
        self._insertion_loss_db = insertion_loss_db
        self._max_db = max_db
        self._motor_speed = motor_speed
        self._stands_db = max_db
        self._goes_db = max_db
        self.homed = False

    @property
    def loss_db(self) -> float:
        return self._stands_db

    @property
    def _pace(self) -> float:
        return self._motor_speed / self.slowness

    def advance(self, now_ps: int) -> None:
        step_db = _DB_PER_S * self._pace * (now_ps - self.now_ps) / PS_PER_S
        gap_db = self._goes_db - self._stands_db
        self._stands_db += max(-step_db, min(step_db, gap_db))
        super().advance(now_ps)

    def power_cycle(self) -> None:
        """The motor stands where it stood, but the firmware does not know where."""
        super().power_cycle()
        self._goes_db = self._stands_db
        self.homed = False

    def lose_settings(self) -> None:
        """The box stores no settings: nothing is lost but its home."""
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        command = line.upper()
        echo = f"{line}\r\n" if self.revision == "echo" else ""
        if command == "H":
            return self._work_for(_HOME_S, echo, self._insertion_loss_db)
        if command == "RST":
            self.homed = False
            return Busy(_RESTART_S / self._pace, lambda: f"{echo}Done\r\n")
        if command == "CD":
            return (
                f"{echo}DD-100-MC\r\nIL:{self._insertion_loss_db:.2f}\r\n"
                f"MAX ATTEN:{self._max_db:.2f}\r\nDone\r\n"
            )
        if command == "D" and self.homed:
            steps = round(self._stands_db * _STEPS_PER_DB)
            return f"{echo}DPos:{steps}\r\nATTEN:{self._stands_db:.2f}\r\nDone\r\n"
        if (match := re.fullmatch(r"A(\d{1,3}(\.\d*)?)", command)) and self.homed:
            wanted_db = float(match[1])
            if self._insertion_loss_db <= wanted_db <= self._max_db:
                seconds = abs(wanted_db - self._stands_db) / _DB_PER_S
                content = f"{echo}Pos:{round(wanted_db * _STEPS_PER_DB)}\r\n"
                return self._work_for(seconds, content, wanted_db)
        return f"{echo}Error!\r\nDone\r\n" if self.revision == "done" else f"{echo}Error!"

    def _work_for(self, seconds: float, content: str, goes_db: float) -> Busy:
        self._goes_db = goes_db

        def finish() -> str:
            self.homed = True
            self._stands_db = goes_db
            return f"{content}Done\r\n"

        return Busy(seconds / self._pace, finish)

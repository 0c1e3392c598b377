"""Qubitekk QES 2.4: a pair source with its pump diode and its crystal's temperature control.

Settings that are taken are silent.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from qkd_firmware_sim.cores.core import PS_PER_S, Regulated, Thermal
from qkd_firmware_sim.cores.lines import Busy, LineCore

_AMBIENT_C = 23.0
_DIODE_C = 25.0
_COLDEST_C, _HOTTEST_C = 5.0, 60.0
_UNKNOWN = "Unknown Command"


@dataclass(frozen=True)
class _Settings:
    set_mc: int = 25_000
    current_ma: int = 20
    optical_dac: int = 0
    autostart: bool = False


class Qes(Regulated, LineCore):
    """The box's firmware; its optical side is `current_a`, `diode_c` and `crystal_c`."""

    def __init__(self, serial_number: str, *, thermal_speed: float = 1.0) -> None:
        super().__init__()
        self._serial_number = serial_number
        self._thermal_speed = thermal_speed
        self.regulated = Thermal(_AMBIENT_C, 4.0)
        self._saved = _Settings()
        self._on_count = 0
        self._restart()

    @property
    def current_a(self) -> float:
        """What flows through the pump diode."""
        return self._now.current_ma / 1000 if self._on else 0.0

    @property
    def diode_c(self) -> float:
        return _DIODE_C

    @property
    def crystal_c(self) -> float:
        return self.regulated.temperature_c

    @property
    def faulty(self) -> bool:
        """The crystal is where its temperature control cannot be trusted."""
        return not _COLDEST_C <= self.crystal_c <= _HOTTEST_C

    def warm_by(self, kelvin: float) -> None:
        """A temperature excursion of the crystal; too large a one is a fault."""
        super().warm_by(kelvin)
        self._protect()

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        super().advance(now_ps)
        self.regulated.step(self._now.set_mc / 1000, elapsed_s)

    def power_cycle(self) -> None:
        super().power_cycle()
        self._restart()

    def lose_settings(self) -> None:
        """A reset after the stored settings were lost."""
        self._saved = _Settings()
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        command = line.upper()
        if (query := self._queries().get(command)) is not None:
            return query()
        if (action := self._actions().get(command)) is not None:
            action()
            return ""
        match = re.fullmatch(r":(SETT|PLSD|PLDC) (\d{1,5})", command)
        if match is None:
            return _UNKNOWN
        return self._set(match[1], int(match[2]))

    def _queries(self) -> dict[str, Callable[[], str]]:
        now = self._now
        drive = now.set_mc / 1000 - self.crystal_c
        return {
            "TEMP?": lambda: f"{self.crystal_c:.3f}",
            "SETP?": lambda: str(now.set_mc),
            "CURR?": lambda: f"{min(2.0, abs(drive) / 5):.3f}",
            "VOLT?": lambda: f"{min(6.0, abs(drive)):.3f}",
            "FAUL?": lambda: str(int(self.faulty)),
            "HORC?": lambda: "H" if drive >= 0 else "C",
            "FIRM?": lambda: "Firmware v2.4.1",
            "PLST?": lambda: "APC" if self._on else "OFF",
            "PLDC?": lambda: str(now.current_ma),
            "PLCR?": lambda: f"{1000 * self.current_a:.1f}",
            "PLID?": lambda: self._serial_number,
            "PLMD?": lambda: "PL-405",
            "PLFM?": lambda: "1.2",
            "PLIN?": lambda: f"PL-405 1.2 {self._serial_number}",
            "PLOH?": lambda: "412",
            "PLTO?": lambda: str(self._on_count),
            "PLAC?": lambda: str(self._access),
        }

    def _actions(self) -> dict[str, Callable[[], None]]:
        return {
            ":PLON": self._switch_on,
            ":PLOF": self._switch_off,
            ":PLAO": lambda: self._change(autostart=True),
            ":PLAF": lambda: self._change(autostart=False),
            ":PLSV": self._save,
            ":PLAC": self._raise_access,
        }

    def _restart(self) -> None:
        self._now = self._saved
        self._access = 1
        self._on = False
        if self._now.autostart:
            self._switch_on()

    def _set(self, name: str, value: int) -> str:
        field, low, high = {
            "SETT": ("set_mc", 10_000, 50_000),
            "PLSD": ("optical_dac", 0, 8000),
            "PLDC": ("current_ma", 20, 120),
        }[name]
        if not low <= value <= high:
            return "Invalid Parameter"
        self._change(**{field: value})
        if name == "SETT":
            self._saved = replace(self._saved, set_mc=value)
        return ""

    def _change(self, **changes: int | bool) -> None:
        self._now = replace(self._now, **changes)  # type: ignore[arg-type]

    def _protect(self) -> None:
        if self.faulty:
            self._on = False

    def _switch_on(self) -> None:
        if not self.faulty and not self._on:
            self._on = True
            self._on_count += 1

    def _switch_off(self) -> None:
        self._on = False

    def _save(self) -> None:
        self._saved = self._now

    def _raise_access(self) -> None:
        self._access = 3

"""Cobolt 06-01: a diode laser head with interlock, key switch and an autostart sequence.

Autostart is the sequence that laser safety asks for: the key must be turned off and on after
each power-up and each fault. Without it the key has no say.
"""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from qkd_firmware_sim.cores.core import PS_PER_S, Revised, Thermal
from qkd_firmware_sim.cores.lines import Busy, LineCore

_AMBIENT_C = 24.0
_LASING_C = 25.0
_HOTTEST_C = 50.0
_THRESHOLD_A = 0.025
_W_PER_A = 1.0
_START_S = 2.0
_ILLEGAL = "Syntax error: illegal command"
_OFF, _WAITS_FOR_KEY, _CONTINUOUS, _MODULATED, _FAULT, _ABORTED = 0, 1, 2, 4, 5, 6
_TEMPERATURE, _INTERLOCK = 1, 3


class Cobolt06(Revised, LineCore):
    """The head's firmware; its optical side is `current_a` and `diode_c`."""

    revisions: ClassVar[Mapping[str, str]] = {"cr": "answers end in CR alone, as the manual says"}

    def __init__(
        self,
        serial_number: str,
        *,
        max_power_w: float = 0.12,
        autostart: bool = False,
        thermal_speed: float = 1.0,
    ) -> None:
        super().__init__()
        self.identity = "0405-06-01-0120-100"
        """Its model number."""
        self._serial_number = serial_number
        self._max_power_w = max_power_w
        self._thermal_speed = thermal_speed
        self._autostart = autostart
        self._interlock_open = False
        self._key_on = True
        self._body = Thermal(_AMBIENT_C, 5.0)
        self._diode = Thermal(_AMBIENT_C, 2.0)
        self._saved_power_w = 0.0
        self._starts_ps: int | None = None
        self._fault = 0
        self._restart()

    @property
    def current_a(self) -> float:
        """What flows through the diode."""
        if not self._on or self._starts_ps is not None:
            return 0.0
        if self._mode == "cp":
            return _THRESHOLD_A + self._power_w / _W_PER_A if self._power_w else 0.0
        return self._set_current_a

    @property
    def diode_c(self) -> float:
        return self._diode.temperature_c

    @property
    def light_w(self) -> float:
        return max(0.0, self.current_a - _THRESHOLD_A) * _W_PER_A

    @property
    def operating_mode(self) -> int:
        """As ``gom?`` tells it."""
        if self._fault:
            return _FAULT
        if self._waits_for_key:
            return _WAITS_FOR_KEY
        if self._aborted:
            return _ABORTED
        if not self._on:
            return _OFF
        return _MODULATED if self._mode == "em" else _CONTINUOUS

    def set_interlock(self, is_open: bool) -> None:
        """Opens or closes the interlock loop; what it switched off stays off."""
        self._interlock_open = is_open
        if is_open:
            self._trip(_INTERLOCK)

    def set_key_lock(self, locked: bool) -> None:
        """Turns the key switch; with autostart, turning it on starts the laser."""
        turned_on = not locked and not self._key_on
        self._key_on = not locked
        if not self._autostart:
            return
        if locked:
            self._on = False
        elif turned_on and not self._fault and not self._interlock_open:
            self._waits_for_key = self._aborted = False
            self._begin()

    def warm_by(self, kelvin: float) -> None:
        """A temperature excursion of the base plate."""
        self._body.temperature_c += kelvin

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        super().advance(now_ps)
        self._body.step(_AMBIENT_C + 40 * self.current_a, elapsed_s)
        self._diode.step(_LASING_C, elapsed_s)
        if self._body.temperature_c > _HOTTEST_C:
            self._trip(_TEMPERATURE)
        if self._starts_ps is not None and now_ps >= self._starts_ps:
            self._starts_ps = None

    def power_cycle(self) -> None:
        super().power_cycle()
        self._restart()

    def lose_settings(self) -> None:
        """A reset after the stored settings were lost."""
        self._saved_power_w = 0.0
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        command = line.lower()
        if (query := self._queries().get(command)) is not None:
            return query()
        if (action := self._actions().get(command)) is not None:
            return "OK" if action() else _ILLEGAL
        name, _, argument = command.partition(" ")
        setting = self._settings().get(name)
        if setting is None or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", argument):
            return _ILLEGAL
        return "OK" if setting(float(argument)) else "Error: value out of range"

    @property
    def reply_end(self) -> str:
        return "\r" if self.revision == "cr" else super().reply_end

    def _queries(self) -> dict[str, Callable[[], str]]:
        return {
            "gsn?": lambda: self._serial_number,
            "glm?": lambda: self.identity,
            "gcn?": lambda: "MLD",
            "gfv?": lambda: "01.33.66.00",
            "gfd?": lambda: "2019-03-11",
            "gfbd?": lambda: "2019-03-11",
            "hrs?": lambda: "412.70",
            "l?": lambda: str(int(self._on)),
            "@cobas?": lambda: str(int(self._autostart)),
            "@cobasks?": lambda: str(int(self._key_on)),
            "ilk?": lambda: str(int(self._interlock_open)),
            "p?": lambda: f"{self._power_w:.4f}",
            "pa?": lambda: f"{self.light_w:.6f}",
            "gmlp?": lambda: f"{1000 * self._max_power_w:.1f}",
            "gmlc?": lambda: "300.0",
            "i?": lambda: f"{1000 * self.current_a:.2f}",
            "rlc?": lambda: f"{1000 * self.current_a:.2f}",
            "glc?": lambda: f"{1000 * self._set_current_a:.2f}",
            "glmp?": lambda: f"{1000 * self._power_w:.2f}",
            "ra?": self._all,
            "f?": lambda: str(self._fault),
            "gom?": lambda: str(self.operating_mode),
            "gdmes?": lambda: str(int(self._digital)),
            "games?": lambda: str(int(self._analog)),
            "galis?": lambda: str(int(self._low_impedance)),
            "rbpt?": lambda: f"{self._body.temperature_c:.2f}",
            "rtect?": lambda: f"{self.diode_c:.2f}",
        }

    def _all(self) -> str:
        """A line of readings, of which the eighth tells the regulation: 0 current, 1 power."""
        mode = ("ci", "cp", "em").index(self._mode)
        current_ma, power_mw = 1000 * self.current_a, 1000 * self.light_w
        return f"{current_ma:.2f} {power_mw:.2f} 0 0 0 0 0 {mode}"

    def _actions(self) -> dict[str, Callable[[], bool]]:
        return {
            "l1": self._switch_on,
            "l0": self._switch_off,
            "@cob1": self._switch_on_by_autostart,
            "@cob0": self._switch_off,
            "restart": self._switch_on_by_autostart,
            "abort": self._switch_off,
            "cf": self._clear_fault,
            "cp": lambda: self._choose("cp"),
            "ci": lambda: self._choose("ci"),
            "em": lambda: self._choose("em"),
        }

    def _settings(self) -> dict[str, Callable[[float], bool]]:
        return {
            "p": self._set_power,
            "slc": self._set_current,
            "sdmes": lambda value: self._switch("_digital", value),
            "sames": lambda value: self._switch("_analog", value),
            "salis": lambda value: self._switch("_low_impedance", value),
            "@cobas": lambda value: self._switch("_autostart", value),
        }

    def _restart(self) -> None:
        self._on = self._aborted = False
        self._starts_ps = None
        self._fault = _INTERLOCK if self._interlock_open else 0
        self._waits_for_key = self._autostart
        self._mode = "cp"
        self._power_w = self._saved_power_w
        self._set_current_a = 0.0
        self._digital = self._analog = self._low_impedance = False

    def _trip(self, fault: int) -> None:
        self._on = False
        self._starts_ps = None
        self._fault = self._fault or fault
        self._waits_for_key = self._autostart

    def _begin(self) -> None:
        self._on = True
        wait_ps = round(_START_S / self._thermal_speed * PS_PER_S)
        self._starts_ps = self.now_ps + wait_ps if self._autostart else None

    def _switch_on(self) -> bool:
        """``l1`` is not for a head with autostart; a fault or the interlock keep it off."""
        if self._autostart:
            return False
        if not self._fault and not self._interlock_open:
            self._begin()
        return True

    def _switch_on_by_autostart(self) -> bool:
        if not self._autostart:
            return False
        if not (self._fault or self._interlock_open or self._waits_for_key) and self._key_on:
            self._aborted = False
            self._begin()
        return True

    def _switch_off(self) -> bool:
        self._aborted = self._autostart and not self._waits_for_key
        self._on = False
        self._starts_ps = None
        return True

    def _clear_fault(self) -> bool:
        hot = self._body.temperature_c > _HOTTEST_C
        self._fault = _INTERLOCK if self._interlock_open else _TEMPERATURE if hot else 0
        return True

    def _choose(self, mode: str) -> bool:
        self._mode = mode
        return True

    def _set_power(self, watts: float) -> bool:
        if not 0 <= watts <= self._max_power_w:
            return False
        self._power_w = self._saved_power_w = watts
        return True

    def _set_current(self, milliamperes: float) -> bool:
        if not 0 <= milliamperes <= 300:
            return False
        self._set_current_a = milliamperes / 1000
        return True

    def _switch(self, name: str, value: float) -> bool:
        if value in (0, 1):
            setattr(self, name, bool(value))
            return True
        return False

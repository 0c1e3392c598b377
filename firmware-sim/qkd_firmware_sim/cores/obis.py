"""Coherent OBIS: a laser head in a SCPI-like tongue with a handshake.

With the handshake on, each command ends with ``OK``; an error is ``ERR-nnn`` with or without it.
Units are glued to temperatures.
"""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from qkd_firmware_sim.cores.core import PS_PER_S, Revised, Thermal
from qkd_firmware_sim.cores.lines import Busy, LineCore
from qkd_firmware_sim.scpi.syntax import header_pattern

_AMBIENT_C = 24.0
_LASING_C = 25.0
_HOTTEST_C = 50.0
_THRESHOLD_A = 0.025
_W_PER_A = 1.0
_UNSUPPORTED, _NO_PARAMETER, _RANGE, _NOT_NOW = "ERR-100", "ERR-102", "ERR-109", "ERR-200"
_BASE_FAULT = 0x000001
_FAULT_BIT, _EMISSION_BIT, _READY_BIT, _STANDBY_BIT = 1, 2, 4, 8
_MODES = ("CWP", "CWC", "DIGITAL", "ANALOG", "MIXED", "DIGSO", "MIXSO")

_Query = Callable[[], str]
_Setter = Callable[[str], str]


class Obis(Revised, LineCore):
    """The head's firmware; its optical side is `current_a` and `diode_c`."""

    revisions: ClassVar[Mapping[str, str]] = {
        "no-handshake": "there is no handshake, so that nothing tells where an answer ends",
        "lock-ok": "a closed interlock is told by ok, as the handshake is",
    }

    def __init__(
        self, serial_number: str, *, max_power_w: float = 0.12, thermal_speed: float = 1.0
    ) -> None:
        super().__init__(line_end=rb"\r\n?|\n")
        self.identity = "Coherent, Inc - OBIS 405nm 120mW C - V1.0.1 - Mar 11 2019"
        self._serial_number = serial_number
        self._max_power_w = max_power_w
        self._thermal_speed = thermal_speed
        self._interlock_open = False
        self._body = Thermal(_AMBIENT_C, 5.0)
        self._diode = Thermal(_AMBIENT_C, 2.0)
        self._saved_power_w = 0.001
        self._handshake = False
        self._commands: list[tuple[re.Pattern[str], _Query | None, _Setter | None]] = []
        self._define_all()
        self._restart()

    @property
    def current_a(self) -> float:
        """What flows through the diode."""
        return _THRESHOLD_A + self._power_w / _W_PER_A if self._on else 0.0

    @property
    def diode_c(self) -> float:
        return self._diode.temperature_c

    @property
    def light_w(self) -> float:
        return max(0.0, self.current_a - _THRESHOLD_A) * _W_PER_A

    @property
    def _fault(self) -> int:
        return _BASE_FAULT if self._body.temperature_c > _HOTTEST_C else 0

    def set_interlock(self, is_open: bool) -> None:
        """Opens or closes the interlock loop; what it switched off stays off."""
        self._interlock_open = is_open
        if is_open:
            self._on = False

    def warm_by(self, kelvin: float) -> None:
        """A temperature excursion of the base plate."""
        self._body.temperature_c += kelvin

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        super().advance(now_ps)
        self._body.step(_AMBIENT_C + 40 * self.current_a, elapsed_s)
        self._diode.step(_LASING_C, elapsed_s)
        if self._fault:
            self._on = False

    def power_cycle(self) -> None:
        super().power_cycle()
        self._restart()

    def lose_settings(self) -> None:
        """A reset after the stored settings, the handshake among them, were lost."""
        self._saved_power_w = 0.001
        self._handshake = False
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        header, _, argument = line.partition(" ")
        asked = header.endswith("?")
        name = header.rstrip("?")
        name = name if name.startswith((":", "*")) else f":{name}"
        for pattern, query, setter in self._commands:
            if not self._shakes_hands and "HAND" in name.upper():
                break
            if pattern.fullmatch(name):
                if asked and query is not None:
                    return self._with_ok(query())
                if not asked and setter is not None:
                    error = setter(argument.strip().upper())
                    return error or self._with_ok("")
        return _UNSUPPORTED

    @property
    def _shakes_hands(self) -> bool:
        return self.revision != "no-handshake"

    def _lock(self) -> str:
        opened, closed = ("off", "ok") if self.revision == "lock-ok" else ("OFF", "ON")
        return opened if self._interlock_open else closed

    def _with_ok(self, value: str) -> str:
        ends = [value] if value else []
        return "\r\n".join([*ends, "OK"] if self._handshake and self._shakes_hands else ends)

    def _define_all(self) -> None:
        def define(header: str, query: _Query | None = None, setter: _Setter | None = None) -> None:
            self._commands.append((header_pattern(header), query, setter))

        define("*IDN", lambda: self.identity)
        define("*RST", setter=self._reset)
        define(":SYSTem:INFormation:MODel", lambda: [*self.identity.split(" - "), ""][1])
        define(":SYSTem:INFormation:SNUMber", lambda: self._serial_number)
        define(":SYSTem:INFormation:FVERsion", lambda: "V1.0.1")
        define(":SYSTem:INFormation:WAVelength", lambda: "405nm")
        define(":SYSTem:INFormation:POWer", lambda: f"{self._max_power_w / 1.1:.5f}")
        define(":SYSTem:LOCK", self._lock)
        define(":SYSTem:STATus", lambda: f"{self._status():08X}")
        define(":SYSTem:FAULt", lambda: f"{self._fault:08X}")
        define(":SYSTem:ERRor:COUNt", lambda: "0")
        define(":SYSTem:ERRor:CLEar", setter=lambda argument: "")
        define(
            ":SYSTem:COMMunicate:HANDshaking",
            lambda: "ON" if self._handshake else "OFF",
            lambda word: self._switch("_handshake", word),
        )
        define(":SYSTem:AUTostart", lambda: "OFF", lambda word: "" if word == "OFF" else _NOT_NOW)
        define(":SOURce:AM:STATe", lambda: "ON" if self._on else "OFF", self._set_state)
        define(":SOURce:AM:INTernal", setter=self._set_mode)
        define(":SOURce:AM:EXTernal", setter=self._set_mode)
        define(":SOURce:AM:SOURce", lambda: self._mode)
        define(
            ":SOURce:POWer:LEVel:IMMediate:AMPLitude",
            lambda: f"{self._power_w:.6f}",
            self._set_power,
        )
        define(":SOURce:POWer:LEVel", lambda: f"{self.light_w:.6f}")
        define(":SOURce:POWer:LIMit:LOW", lambda: "0.00100")
        define(":SOURce:POWer:LIMit:HIGH", lambda: f"{self._max_power_w:.5f}")
        define(":SOURce:POWer:NOMinal", lambda: f"{self._max_power_w / 1.1:.5f}")
        define(":SOURce:POWer:CURRent", lambda: f"{1000 * self.current_a:.1f}")
        define(":SOURce:TEMPerature:DIODe", lambda: f"{self.diode_c:.1f}C")
        define(":SOURce:TEMPerature:INTernal", lambda: f"{self._body.temperature_c + 2:.1f}C")
        define(":SOURce:TEMPerature:BASeplate", lambda: f"{self._body.temperature_c:.1f}C")

    def _restart(self) -> None:
        self._on = False
        self._mode = "CWP"
        self._power_w = self._saved_power_w

    def _status(self) -> int:
        light = _EMISSION_BIT if self._on else _STANDBY_BIT
        return light | (_FAULT_BIT if self._fault else _READY_BIT)

    def _reset(self, argument: str) -> str:
        self._restart()
        return ""

    def _switch(self, name: str, word: str) -> str:
        if word not in ("ON", "OFF"):
            return _RANGE if word else _NO_PARAMETER
        setattr(self, name, word == "ON")
        return ""

    def _set_state(self, word: str) -> str:
        if word == "ON" and (self._interlock_open or self._fault):
            return _NOT_NOW
        return self._switch("_on", word)

    def _set_mode(self, word: str) -> str:
        if word not in _MODES:
            return _RANGE if word else _NO_PARAMETER
        if self._on and word != self._mode:
            return _NOT_NOW
        self._mode = word
        return ""

    def _set_power(self, argument: str) -> str:
        if not re.fullmatch(r"(\d+\.?\d*|\.\d+)(E[+-]?\d+)?", argument):
            return _RANGE if argument else _NO_PARAMETER
        if not 0.001 <= float(argument) <= self._max_power_w:
            return _RANGE
        self._power_w = self._saved_power_w = float(argument)
        return ""

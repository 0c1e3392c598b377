"""SRS PRS10: the rubidium oscillator of an FS725, with its two-letter commands.

Settings and unknown commands are answered by silence; what went wrong is in the six status bytes,
whose bits stay set until they are read. Switched on, it sends its identity unasked.
"""

import re

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.cores.lines import Busy, LineCore

_WARM_UP_S = 360.0
_RESET, _BAD_SYNTAX, _BAD_PARAMETER = 0x80, 0x20, 0x40
_COLD = 0b00010101
_LOCK_OFF = 0x01
_PLL_OFF, _PLL_ACTIVE, _NO_PULSE = 0x01, 0x04, 0x80
# Range and factory value of what can be set.
_SETTINGS = {
    "LO": (0, 1, 1),
    "PL": (0, 1, 1),
    "PT": (0, 14, 8),
    "PF": (0, 4, 2),
    "PI": (0, 1, 0),
    "PS": (0, 1, 0),
    "SF": (-2000, 2000, 0),
    "LM": (0, 3, 1),
    "MS": (0, 1, 1),
    "TO": (-32767, 32768, 0),
    "VB": (0, 1, 0),
}
_VOLTS = {0: "0.000", 1: "2.411", 2: "2.405", 10: "0.451", 19: "1.250"}


class Prs10(LineCore):
    """The oscillator's firmware: `locked` to the atomic line once it is warm."""

    def __init__(self, serial_number: str, *, thermal_speed: float = 1.0) -> None:
        super().__init__(reply_end="\r")
        digits = re.sub(r"\D", "", serial_number) or "1"
        self.identity = f"PRS_10_3.24_SN_{digits}"
        self._serial_number = digits
        self._thermal_speed = thermal_speed
        self._warm_s = 0.0
        self._saved = {name: start for name, (_, _, start) in _SETTINGS.items()}
        self.pulse_present = True
        self._restart()

    @property
    def locked(self) -> bool:
        return bool(self._settings["LO"]) and self._warm_s >= _WARM_UP_S

    @property
    def disciplined(self) -> bool:
        """Follows the pulse a second at its input."""
        return self.locked and bool(self._settings["PL"]) and self.pulse_present

    def advance(self, now_ps: int) -> None:
        self._warm_s += (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        super().advance(now_ps)
        self._note_conditions()

    def warm_by(self, kelvin: float) -> None:
        """A temperature excursion that costs the lock until the ovens have settled."""
        self._warm_s = max(0.0, _WARM_UP_S - 10 * abs(kelvin))
        self._note_conditions()

    def power_cycle(self) -> None:
        super().power_cycle()
        self._warm_s = 0.0
        self._restart()
        self._tell(self.identity)

    def lose_settings(self) -> None:
        """A reset after the stored settings were lost."""
        self._saved = {name: start for name, (_, _, start) in _SETTINGS.items()}
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        match = re.fullmatch(r"([A-Z]{2})(\d{0,2})(!?)(\?)?", line.upper().replace(" ", ""))
        if match and match[4]:
            answer = self._query(match[1], match[2])
            if answer is not None:
                return answer
        setting = re.fullmatch(r"([A-Z]{2}) ?([+-]?\d+)", line.upper())
        store = re.fullmatch(r"([A-Z]{2})!", line.upper())
        if setting and setting[1] in _SETTINGS:
            self._set(setting[1], int(setting[2]))
        elif setting and setting.groups() == ("RS", "1"):
            self.power_cycle()
        elif store and store[1] in _SETTINGS:
            self._saved[store[1]] = self._settings[store[1]]
        else:
            self._status[5] |= _BAD_SYNTAX
        return ""

    def _restart(self) -> None:
        self._settings = dict(self._saved)
        self._status = [0, 0, 0, 0, 0, _RESET]
        self._note_conditions()

    def _set(self, name: str, value: int) -> None:
        low, high, _ = _SETTINGS[name]
        if low <= value <= high:
            self._settings[name] = value
        else:
            self._status[5] |= _BAD_PARAMETER

    def _query(self, name: str, number: str) -> str | None:
        if name == "AD" and number:
            return _VOLTS.get(int(number), "2.500") if int(number) < 20 else None
        if name == "SD" and number:
            return "128" if int(number) < 8 else None
        if number:
            return None
        match name:
            case "ID":
                return self.identity
            case "SN":
                return self._serial_number
            case "LO":
                return str(int(self.locked))
            case "TT":
                return "412" if self.pulse_present else "-1"
            case "ST":
                return self._take_status()
        return str(self._settings[name]) if name in _SETTINGS else None

    def _take_status(self) -> str:
        told = ",".join(map(str, self._status))
        self._status = [0] * 6
        self._note_conditions()
        return told

    def _note_conditions(self) -> None:
        if self._warm_s < _WARM_UP_S:
            self._status[2] |= _COLD
        if not self.locked:
            self._status[3] |= _LOCK_OFF
        if not self._settings["PL"]:
            self._status[4] |= _PLL_OFF
        elif self.disciplined:
            self._status[4] |= _PLL_ACTIVE
        if not self.pulse_present:
            self._status[4] |= _NO_PULSE

"""Stanford Research LDC501: laser diode current source and temperature controller in one box."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from qkd_firmware_sim.cores.core import PS_PER_S, Regulated, Thermal
from qkd_firmware_sim.scpi import (
    ScpiError,
    ScpiInstrument,
    Status,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_number,
)
from qkd_firmware_sim.scpi.instrument import no_arguments, one

ERROR_DELAY_PS = 15 * PS_PER_S // 1000

# What the codes mean is not public: 0 is none, the others tell kinds apart.
ILLEGAL_VALUE, NOT_ALLOWED = 1, 2
UNKNOWN_COMMAND, WRONG_PARAMETER = 2, 5

_AMBIENT_C = 23.0
_HEATING_K_PER_MA = 0.06
_TIME_CONSTANT_S = 3.0
_THRESHOLD_MA = 25.0
_SLOPE_MW_PER_MA = 0.8
_FULL_SCALE_MA = {"LOW": 250.0, "HIGH": 500.0}
_LEAST_TRIP_C, _MOST_TRIP_C = -20.0, 120.0

Limits = Callable[[], tuple[float, float]]


class _LastErrors(Status):
    """In the place of an error queue: the last execution and command error, logged late."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ps = 0
        self.last = {"LEXE": 0, "LCME": 0}
        self.late: list[tuple[int, str, int]] = []

    def report(self, error: ScpiError) -> None:
        match error.code:
            case -222 | -224:
                name, code = "LEXE", ILLEGAL_VALUE
            case -221:
                name, code = "LEXE", NOT_ALLOWED
            case -113 | -102:
                name, code = "LCME", UNKNOWN_COMMAND
            case _:
                name, code = "LCME", WRONG_PARAMETER
        self.late.append((self.now_ps + ERROR_DELAY_PS, name, code))

    def advance(self, now_ps: int) -> None:
        self.now_ps = now_ps
        while self.late and self.late[0][0] <= now_ps:
            _, name, code = self.late.pop(0)
            self.last[name] = code

    def take(self, name: str) -> int:
        code, self.last[name] = self.last[name], 0
        return code


@dataclass
class _Settings:
    laser_on: bool = False
    tec_on: bool = False
    laser_ma: float = 0.0
    limit_ma: float = 100.0
    power_mw: float = 0.0
    power_limit_mw: float = 50.0
    voltage_limit_v: float = 5.0
    set_point_c: float = 25.0
    lowest_c: float = 5.0
    highest_c: float = 45.0
    tec_a: float = 0.0
    tec_limit_a: float = 2.0
    tec_voltage_limit_v: float = 5.0
    laser_mode: str = "CC"
    tec_mode: str = "CT"
    range: str = "LOW"
    modulation: str = "OFF"
    bandwidth: str = "LOW"
    in_milliwatts: str = "ON"
    bias_v: float = 0.0
    photodiode_ua: float = 0.0
    photodiode_limit_ua: float = 5000.0
    responsivity_ua_per_mw: float = 100.0
    sensor: int = 3


class Ldc500(Regulated, ScpiInstrument):
    """The controller's firmware; its optical side is `current_a` and `diode_c`."""

    def __init__(self, serial_number: str, *, thermal_speed: float = 1.0) -> None:
        super().__init__(f"Stanford_Research_Systems,LDC501,{serial_number},2.18")
        self.now_ps = 0
        self._thermal_speed = thermal_speed
        self.regulated = Thermal(_AMBIENT_C, _TIME_CONSTANT_S)
        self._interlock_open = False
        self._settings = _Settings()
        self._define_laser()
        self._define_photodiode()
        self._define_cooler()

    @property
    def current_a(self) -> float:
        """Current through the laser diode."""
        return self._current_ma() / 1e3

    @property
    def diode_c(self) -> float:
        return self.regulated.temperature_c

    @property
    def busy(self) -> bool:
        """Whether an error is on its way to where it can be read."""
        return bool(self._errors.late)

    def reset(self) -> None:
        self._settings = _Settings()

    def power_cycle(self) -> None:
        """Switches the box off and on: outputs off, settings lost."""
        self.reset()
        self._errors.late.clear()
        self._errors.last = dict.fromkeys(self._errors.last, 0)

    lose_settings = power_cycle

    def set_interlock(self, is_open: bool) -> None:
        """Opens or closes the interlock loop; opening it turns the laser off for good."""
        self._interlock_open = is_open
        if is_open:
            self._settings.laser_on = False

    def advance(self, now_ps: int) -> None:
        """Moves the diode's temperature, the protections and late errors on to now_ps."""
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        self.now_ps = now_ps
        self._errors.advance(now_ps)
        held = self._settings
        heated_c = _AMBIENT_C + _HEATING_K_PER_MA * self._current_ma()
        self.regulated.step(held.set_point_c if held.tec_on else heated_c, elapsed_s)
        in_limits = held.lowest_c <= self.diode_c <= held.highest_c
        if not in_limits or self._diode_v() > held.voltage_limit_v:
            held.laser_on = False

    def _define_common(self) -> None:
        self._errors = _LastErrors()
        self.status = self._errors
        super()._define_common()

    def _define_scpi(self) -> None:
        # Words of four letters and two last errors stand for SCPI's tree and queue.
        for name in ("LEXE", "LCME"):
            self.define(f":{name}", query=no_arguments(self._error_query(name)))

    def _error_query(self, name: str) -> Callable[[], str]:
        return lambda: str(self._errors.take(name))

    def _define_laser(self) -> None:
        self.define(
            ":ILOC", query=no_arguments(lambda: "OPEN" if self._interlock_open else "CLOSED")
        )
        self.define(
            ":LDON", set=self._switch_laser, query=no_arguments(lambda: self._on("laser_on"))
        )
        self._choice("SMOD", "laser_mode", ("CC", "CP"))
        self._choice("RNGE", "range", ("LOW", "HIGH"), self._clamp)
        self._choice("MODU", "modulation", ("OFF", "ON"))
        self._choice("SIBW", "bandwidth", ("LOW", "HIGH"))
        self._number("SILD", "laser_ma", lambda: (0.0, self._settings.limit_ma))
        self._number("SILM", "limit_ma", lambda: (0.0, self._full_scale_ma()), self._clamp)
        self._number("SVLM", "voltage_limit_v", lambda: (0.1, 10.0))
        self._number("SWPD", "power_mw", lambda: (0.0, self._settings.power_limit_mw))
        self._number("PWLM", "power_limit_mw", lambda: (0.0, 1000.0), self._clamp)
        self._measured("RILD", self._current_ma)
        self._measured("RVLD", self._diode_v)
        self._measured("RWPD", self._power_mw)

    def _define_photodiode(self) -> None:
        self._choice("PDMW", "in_milliwatts", ("OFF", "ON"))
        self._number("BIAS", "bias_v", lambda: (0.0, 5.0))
        self._number("SIPD", "photodiode_ua", lambda: (0.0, self._settings.photodiode_limit_ua))
        self._number("PILM", "photodiode_limit_ua", lambda: (0.0, 5000.0))
        self._number("RESP", "responsivity_ua_per_mw", lambda: (0.0, 1e4))
        self._measured("RIPD", lambda: self._power_mw() * self._settings.responsivity_ua_per_mw)

    def _define_cooler(self) -> None:
        self.define(":TEON", set=self._switch_tec, query=no_arguments(lambda: self._on("tec_on")))
        self._choice("TMOD", "tec_mode", ("CT", "CC"))
        self._number(
            "TEMP",
            "set_point_c",
            lambda: (self._settings.lowest_c, self._settings.highest_c),
        )
        self._number("TMIN", "lowest_c", lambda: (_LEAST_TRIP_C, self._settings.highest_c))
        self._number("TMAX", "highest_c", lambda: (self._settings.lowest_c, _MOST_TRIP_C))
        self._number(
            "TCUR", "tec_a", lambda: (-self._settings.tec_limit_a, self._settings.tec_limit_a)
        )
        for word in ("TILM", "TLIM"):
            self._number(word, "tec_limit_a", lambda: (0.0, 4.5))
        self._number("TVLM", "tec_voltage_limit_v", lambda: (-8.5, 8.5))
        self.define(
            ":TSNR",
            set=lambda args: setattr(self._settings, "sensor", parse_integer(one(args), 0, 6)),
            query=no_arguments(lambda: str(self._settings.sensor)),
        )
        self._measured("TRAW", self._thermistor_kohm)
        self._measured("TTRD", lambda: self.diode_c)
        self._measured("TIRD", self._tec_current_a)
        self._measured("TVRD", lambda: 2.0 * self._tec_current_a())

    def _switch_laser(self, arguments: list[str]) -> None:
        on = parse_boolean(one(arguments))
        held = self._settings
        if on and self._interlock_open:
            raise ScpiError(-221, "interlock is open")
        if on and not held.lowest_c <= self.diode_c <= held.highest_c:
            raise ScpiError(-221, "temperature is out of its limits")
        held.laser_on = on

    def _switch_tec(self, arguments: list[str]) -> None:
        self._settings.tec_on = parse_boolean(one(arguments))

    def _number(
        self, word: str, field: str, limits: Limits, after: Callable[[], None] = lambda: None
    ) -> None:
        def write(arguments: list[str]) -> None:
            low, high = limits()
            setattr(self._settings, field, parse_number(one(arguments), "", low, high, low))
            after()

        def read() -> str:
            return f"{getattr(self._settings, field):.4f}"

        self.define(f":{word}", set=write, query=no_arguments(read))

    def _choice(
        self,
        word: str,
        field: str,
        choices: tuple[str, ...],
        after: Callable[[], None] = lambda: None,
    ) -> None:
        def write(arguments: list[str]) -> None:
            setattr(self._settings, field, parse_choice(one(arguments), choices))
            after()

        query = no_arguments(lambda: str(getattr(self._settings, field)))
        self.define(f":{word}", set=write, query=query)

    def _measured(self, word: str, value: Callable[[], float]) -> None:
        self.define(f":{word}", query=no_arguments(lambda: f"{value():.4f}"))

    def _on(self, field: str) -> str:
        return "ON" if getattr(self._settings, field) else "OFF"

    def _clamp(self) -> None:
        """A lowered limit drags what it limits down with it."""
        held = self._settings
        held.limit_ma = min(held.limit_ma, self._full_scale_ma())
        held.laser_ma = min(held.laser_ma, held.limit_ma)
        held.power_mw = min(held.power_mw, held.power_limit_mw)

    def _full_scale_ma(self) -> float:
        return _FULL_SCALE_MA[self._settings.range]

    def _current_ma(self) -> float:
        held = self._settings
        if not held.laser_on:
            return 0.0
        if held.laser_mode == "CC":
            return held.laser_ma
        return min(held.limit_ma, _THRESHOLD_MA + held.power_mw / _SLOPE_MW_PER_MA)

    def _diode_v(self) -> float:
        current_ma = self._current_ma()
        return 1.8 + 0.003 * current_ma if current_ma else 0.0

    def _power_mw(self) -> float:
        return max(0.0, self._current_ma() - _THRESHOLD_MA) * _SLOPE_MW_PER_MA

    def _thermistor_kohm(self) -> float:
        return 10.0 * math.exp(3950.0 * (1 / (self.diode_c + 273.15) - 1 / 298.15))

    def _tec_current_a(self) -> float:
        held = self._settings
        if not held.tec_on:
            return 0.0
        if held.tec_mode == "CC":
            return held.tec_a
        load_k = _AMBIENT_C + _HEATING_K_PER_MA * self._current_ma() - held.set_point_c
        return max(-held.tec_limit_a, min(held.tec_limit_a, 0.05 * load_k))

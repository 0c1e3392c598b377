"""Thorlabs ITC4001: laser diode current source and temperature controller in one box."""

from collections.abc import Callable

from qkd_firmware_sim.cores.core import PS_PER_S, Regulated, Thermal
from qkd_firmware_sim.scpi import (
    ScpiError,
    ScpiInstrument,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_number,
)
from qkd_firmware_sim.scpi.instrument import no_arguments, one

QUESTIONABLE_OVER_TEMPERATURE = 1 << 4
QUESTIONABLE_INTERLOCK = 1 << 9
QUESTIONABLE_KEY_LOCK = 1 << 10
OPERATION_LASER_ON = 1 << 8
OPERATION_TEC_ON = 1 << 9

_AMBIENT_C = 23.0
_RATED_CURRENT_A = 1.0
_TRIP_TEMPERATURE_C = 45.0
_HEATING_K_PER_A = 60.0
_TIME_CONSTANT_S = 3.0
_THRESHOLD_A = 0.025
_SLOPE_W_PER_A = 0.8


class Itc4000(Regulated, ScpiInstrument):
    """The controller's firmware; its optical side is `current_a` and `diode_c`."""

    def __init__(self, serial_number: str, *, thermal_speed: float = 1.0) -> None:
        super().__init__(f"Thorlabs,ITC4001,{serial_number},1.8.0")
        self.now_ps = 0
        self._thermal_speed = thermal_speed
        self.regulated = Thermal(_AMBIENT_C, _TIME_CONSTANT_S)
        self._interlock_open = False
        self._key_locked = False
        self._tripped: set[str] = set()
        self._slots: dict[int, dict[str, object]] = {}
        self.reset()
        self._define_source()
        self._define_outputs()
        self._define_measurements()

    @property
    def current_a(self) -> float:
        """Current through the laser diode."""
        return self._current_a if self._laser_on else 0.0

    @property
    def diode_c(self) -> float:
        return self.regulated.temperature_c

    def reset(self) -> None:
        self._laser_on = False
        self._tec_on = False
        self._current_a = 0.0
        self._limit_a = 0.1
        self._set_temperature_c = 25.0
        self._mode = "CURRent"
        self._pulse_s = {"PERiod": 1e-3, "WIDTh": 1e-4}
        self._trigger = "INTernal"
        self._show_outputs()

    def power_cycle(self) -> None:
        """Switches the box off and on: outputs off, settings and status lost."""
        self.reset()
        self._tripped.clear()
        self.status.clear()
        self.status.event_status |= 128

    lose_settings = power_cycle

    def set_interlock(self, is_open: bool) -> None:
        """Opens or closes the interlock loop; opening it turns the laser off for good."""
        self._interlock_open = is_open
        self.status.questionable.set(QUESTIONABLE_INTERLOCK, is_open)
        if is_open:
            self._trip("INTLock")

    def set_key_lock(self, locked: bool) -> None:
        """Turns the key switch; locking it turns the laser off for good."""
        self._key_locked = locked
        self.status.questionable.set(QUESTIONABLE_KEY_LOCK, locked)
        if locked:
            self._trip("KEYLock")

    def advance(self, now_ps: int) -> None:
        """Moves the diode's temperature and the protections on to now_ps."""
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        self.now_ps = now_ps
        heated_c = _AMBIENT_C + _HEATING_K_PER_A * self.current_a
        self.regulated.step(self._set_temperature_c if self._tec_on else heated_c, elapsed_s)
        hot = self.diode_c > _TRIP_TEMPERATURE_C
        self.status.questionable.set(QUESTIONABLE_OVER_TEMPERATURE, hot)
        if hot and self._laser_on:
            self._trip("OTEMp")

    def _trip(self, cause: str) -> None:
        if self._laser_on:
            self.status.report(ScpiError(-240, f"laser output off, {cause.upper()}"))
        self._tripped.add(cause)
        self._laser_on = False
        self._show_outputs()

    def _switch_laser(self, arguments: list[str]) -> None:
        on = parse_boolean(one(arguments))
        if on and self._interlock_open:
            raise ScpiError(-221, "interlock is open")
        if on and self._key_locked:
            raise ScpiError(-221, "key switch is locked")
        if on and self.diode_c > _TRIP_TEMPERATURE_C:
            raise ScpiError(-221, "diode is too warm")
        if on:
            self._tripped.clear()
        self._laser_on = on
        self._show_outputs()

    def _switch_tec(self, arguments: list[str]) -> None:
        self._tec_on = parse_boolean(one(arguments))
        self._show_outputs()

    def _show_outputs(self) -> None:
        self.status.operation.set(OPERATION_LASER_ON, self._laser_on)
        self.status.operation.set(OPERATION_TEC_ON, self._tec_on)

    def _define_source(self) -> None:
        self._number(
            "[:SOURce1]:CURRent[:LEVel][:IMMediate][:AMPLitude]",
            "_current_a",
            "A",
            lambda: (0.0, self._limit_a, 0.0),
        )
        self._number(
            "[:SOURce1]:CURRent:LIMit[:AMPLitude]",
            "_limit_a",
            "A",
            lambda: (0.0, _RATED_CURRENT_A, 0.1),
        )
        for header in (
            ":SOURce2:TEMPerature:SPOint",
            ":SOURce2:TEMPerature[:LEVel][:IMMediate][:AMPLitude]",
        ):
            self._number(header, "_set_temperature_c", "C", lambda: (5.0, 40.0, 25.0))
        self.define(
            "[:SOURce1]:FUNCtion:MODE",
            set=lambda args: setattr(self, "_mode", parse_choice(one(args), ("CURRent", "POWer"))),
            query=no_arguments(lambda: "CURR" if self._mode == "CURRent" else "POW"),
        )
        for name in self._pulse_s:
            self._define_pulse(name)
        self.define(
            ":TRIGger:SOURce",
            set=lambda args: setattr(
                self, "_trigger", parse_choice(one(args), ("INTernal", "EXTernal"))
            ),
            query=no_arguments(lambda: self._trigger[:3].upper()),
        )

    def _define_outputs(self) -> None:
        self.define(
            ":OUTPut1[:STATe]",
            set=self._switch_laser,
            query=no_arguments(lambda: str(int(self._laser_on))),
        )
        self.define(
            ":OUTPut2[:STATe]",
            set=self._switch_tec,
            query=no_arguments(lambda: str(int(self._tec_on))),
        )
        for cause in ("INTLock", "KEYLock", "OTEMp"):
            self._define_protection(cause)

    def _define_measurements(self) -> None:
        for header in (":MEASure[:SCALar]:TEMPerature", ":SENSe2:TEMPerature:DATA"):
            self.define(header, query=no_arguments(lambda: _real(self.diode_c)))
        for header in (":MEASure[:SCALar]:CURRent1", ":SENSe3:CURRent1:DATA"):
            self.define(header, query=no_arguments(lambda: _real(self.current_a)))
        for header in (":MEASure[:SCALar]:VOLTage1", ":SENSe4:VOLTage1:DATA"):
            self.define(header, query=no_arguments(lambda: _real(self._diode_v())))
        self.define(":MEASure[:SCALar]:POWer2", query=no_arguments(lambda: _real(self._power_w())))
        self.define(
            "*SAV", set=lambda args: self._slots.update({_slot(args): self._settings_now()})
        )
        self.define("*RCL", set=self._recall)

    def _number(
        self,
        header: str,
        field: str,
        unit: str,
        limits: Callable[[], tuple[float, float, float]],
    ) -> None:
        """A real setting with its limits and default, which the query tells for MIN, MAX, DEF."""

        def set_value(arguments: list[str]) -> None:
            value = parse_number(one(arguments), unit, *limits())
            setattr(self, field, value)
            self._current_a = min(self._current_a, self._limit_a)

        def query(arguments: list[str]) -> str:
            if not arguments:
                return _real(getattr(self, field))
            word = parse_choice(one(arguments), ("MINimum", "MAXimum", "DEFault"))
            return _real(parse_number(word, unit, *limits()))

        self.define(header, set=set_value, query=query)

    def _define_pulse(self, name: str) -> None:
        def set_value(arguments: list[str]) -> None:
            self._pulse_s[name] = parse_number(one(arguments), "S", 1e-6, 1.0, 1e-3)

        self.define(
            f"[:SOURce1]:PULSe:{name}",
            set=set_value,
            query=no_arguments(lambda: _real(self._pulse_s[name])),
        )

    def _define_protection(self, cause: str) -> None:
        self.define(
            f":OUTPut1:PROTection:{cause}:TRIPped",
            query=no_arguments(lambda: str(int(cause in self._tripped))),
        )

    def _settings_now(self) -> dict[str, object]:
        names = ("_current_a", "_limit_a", "_set_temperature_c", "_mode", "_trigger")
        return {name: getattr(self, name) for name in names}

    def _recall(self, arguments: list[str]) -> None:
        saved = self._slots.get(_slot(arguments))
        if saved is None:
            raise ScpiError(-221, "nothing is saved there")
        self._laser_on = False
        for name, value in saved.items():
            setattr(self, name, value)
        self._show_outputs()

    def _diode_v(self) -> float:
        return 1.8 + 3.0 * self.current_a if self.current_a else 0.0

    def _power_w(self) -> float:
        return max(0.0, self.current_a - _THRESHOLD_A) * _SLOPE_W_PER_A


def _real(value: float) -> str:
    return f"{value:.6E}"


def _slot(arguments: list[str]) -> int:
    return parse_integer(one(arguments), 0, 9)

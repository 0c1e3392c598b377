"""Thorlabs PM100D: a power meter with a silicon photodiode; on Ethernet it drops idle clients."""

import weakref

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.scpi import (
    ScpiInstrument,
    ScpiSession,
    parse_boolean,
    parse_choice,
    parse_number,
)
from qkd_firmware_sim.scpi.instrument import no_arguments, one

OVER_RANGE = 9.9e37

_SENSOR = "S130C,1711021,13-Jan-2023,1,18,289"
_WAVELENGTHS_NM = (400.0, 1100.0)
_RANGES_W = (5e-9, 5e-8, 5e-7, 5e-6, 5e-5, 5e-4, 5e-3, 5e-2, 5e-1)


class _MeterSession(ScpiSession):
    """A conversation that the meter ends when nothing was said for long."""

    def __init__(self, meter: "Pm100d") -> None:
        super().__init__(meter)
        self._meter = meter
        self.heard_ps = meter.now_ps

    def receive(self, data: bytes) -> None:
        self.heard_ps = self._meter.now_ps
        super().receive(data)


class Pm100d(ScpiInstrument):
    """The meter's firmware; its optical side is `light_w`.

    What it shows is the sensor's current over its responsivity at the wavelength that it was told.
    """

    def __init__(
        self, serial_number: str, *, light_nm: float = 405.0, idle_disconnect_s: float = 120.0
    ) -> None:
        super().__init__(f"Thorlabs,PM100D,{serial_number},2.6.0")
        self.now_ps = 0
        self.light_w = 0.0
        self.idle_disconnect_s = idle_disconnect_s
        self._light_nm = light_nm
        self._sessions: weakref.WeakSet[_MeterSession] = weakref.WeakSet()
        self.reset()
        self._define_sensor()
        self._define_measurements()

    def session(self) -> ScpiSession:
        session = _MeterSession(self)
        self._sessions.add(session)
        return session

    def advance(self, now_ps: int) -> None:
        """Lets time pass and hangs up on those who said nothing for long."""
        self.now_ps = now_ps
        for session in list(self._sessions):
            if now_ps - session.heard_ps > self.idle_disconnect_s * PS_PER_S:
                session.heard_ps = now_ps
                session.on_hang_up()

    def reset(self) -> None:
        self._wavelength_nm = 633.0
        self._range_w = _RANGES_W[-1]
        self._auto = True
        self._averages = 1.0
        self._loss_db = 0.0

    def power_cycle(self) -> None:
        """Switches the meter off and on: settings and status lost."""
        self.reset()
        self.status.clear()
        self.status.event_status |= 128

    lose_settings = power_cycle

    def power_w(self) -> float:
        """As shown; `OVER_RANGE` beyond a fixed range."""
        shown = self._current_a() / responsivity_a_per_w(self._wavelength_nm)
        shown *= 10 ** (self._loss_db / 10)
        top = _RANGES_W[-1] if self._auto else self._range_w
        return OVER_RANGE if shown > 1.1 * top else shown

    def _current_a(self) -> float:
        return self.light_w * responsivity_a_per_w(self._light_nm)

    def _define_sensor(self) -> None:
        self.define(":SYSTem:SENSor:IDN", query=no_arguments(lambda: _SENSOR))
        self._number("[:SENSe1]:CORRection:WAVelength", "_wavelength_nm", "NM", _WAVELENGTHS_NM)
        self._number("[:SENSe1]:CORRection[:LOSS]", "_loss_db", "DB", (-60.0, 60.0))
        self._number("[:SENSe1]:AVERage[:COUNt]", "_averages", "", (1.0, 3000.0))
        self.define(
            "[:SENSe1]:POWer[:DC]:RANGe[:UPPer]",
            set=self._set_range,
            query=no_arguments(lambda: _real(self._range_w)),
        )
        self.define(
            "[:SENSe1]:POWer[:DC]:RANGe:AUTO",
            set=lambda args: setattr(self, "_auto", parse_boolean(one(args))),
            query=no_arguments(lambda: str(int(self._auto))),
        )

    def _define_measurements(self) -> None:
        for header in (":MEASure[:SCALar][:POWer]", ":READ"):
            self.define(header, query=no_arguments(lambda: _real(self.power_w())))
        self.define(
            ":MEASure[:SCALar]:CURRent[:DC]", query=no_arguments(lambda: _real(self._current_a()))
        )
        self.define(":MEASure[:SCALar]:FREQuency", query=no_arguments(lambda: _real(0.0)))

    def _set_range(self, arguments: list[str]) -> None:
        wanted = parse_number(one(arguments), "W", _RANGES_W[0], _RANGES_W[-1], _RANGES_W[-1])
        self._range_w = next(top for top in _RANGES_W if top >= wanted)
        self._auto = False

    def _number(self, header: str, field: str, unit: str, limits: tuple[float, float]) -> None:
        def write(arguments: list[str]) -> None:
            setattr(self, field, parse_number(one(arguments), unit, *limits, limits[0]))

        def read(arguments: list[str]) -> str:
            if not arguments:
                return _real(getattr(self, field))
            word = parse_choice(one(arguments), ("MINimum", "MAXimum"))
            return _real(limits[word == "MAXimum"])

        self.define(header, set=write, query=read)


def responsivity_a_per_w(wavelength_nm: float) -> float:
    """Of a silicon photodiode, well enough: rising to its peak at 950 nm, then falling."""
    rising = 0.08 + 0.52 * (wavelength_nm - 400.0) / 550.0
    return rising if wavelength_nm <= 950.0 else 0.60 - 0.45 * (wavelength_nm - 950.0) / 150.0


def _real(value: float) -> str:
    return f"{value:.8E}"

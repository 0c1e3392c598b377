"""S-Fifteen SPDC driver: crystal heater, laser peltier and laser current of a pair source."""

from dataclasses import dataclass

from qkd_firmware_sim.cores.core import PS_PER_S, Regulated, Thermal
from qkd_firmware_sim.cores.s15 import S15Core

_AMBIENT_C = 23.0
_HEATER_TIME_CONSTANT_S = 2.0
_PELTIER_TIME_CONSTANT_S = 4.0
_HEATER_K_PER_V = 10.0
_PELTIER_K_PER_V = 8.0


@dataclass
class _Settings:
    power: int = 0
    heater_loop: bool = False
    peltier_loop: bool = False
    heater_v: float = 0.0
    peltier_v: float = 0.0
    heater_limit_v: float = 10.0
    peltier_limit_v: float = 2.5
    heater_set_c: float = 30.0
    peltier_set_c: float = 25.0
    heater_rate: float = 0.5
    hconstp: float = 1.0
    hconsti: float = 0.1
    hconstd: float = 0.0
    pconstp: float = 1.0
    pconsti: float = 0.1
    pconstd: float = 0.0
    laser_ma: float = 0.0
    laser_limit_ma: float = 60.0


class SpdcDriver(Regulated, S15Core):
    """The driver's firmware; its optical side is `crystal_c`, `diode_c` and `current_a`."""

    def __init__(self, serial_number: str, *, thermal_speed: float = 1.0) -> None:
        super().__init__(f"S-Fifteen Instruments SPDCSDR {serial_number} firmware 1.3")
        self._thermal_speed = thermal_speed
        self._saved = _Settings()
        self._now = _Settings()
        self._laser_on = False
        self._target_c = _AMBIENT_C
        self.regulated = Thermal(_AMBIENT_C, _HEATER_TIME_CONSTANT_S)
        self._diode = Thermal(_AMBIENT_C, _PELTIER_TIME_CONSTANT_S)
        self._define()

    @property
    def crystal_c(self) -> float:
        return self.regulated.temperature_c

    @property
    def diode_c(self) -> float:
        return self._diode.temperature_c

    @property
    def current_a(self) -> float:
        """What flows through the pump diode."""
        lit = self._laser_on and self._now.power & 2
        return self._now.laser_ma / 1000 if lit else 0.0

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        super().advance(now_ps)
        now = self._now
        powered = bool(now.power & 1)
        if powered and now.heater_loop:
            self._ramp(elapsed_s)
        heat_c = _AMBIENT_C + (self._heater_v() * _HEATER_K_PER_V if powered else 0.0)
        self.regulated.step(heat_c, elapsed_s)
        cool_c = _AMBIENT_C
        if powered and now.peltier_loop:
            cool_c = now.peltier_set_c
        elif powered:
            cool_c -= min(now.peltier_v, now.peltier_limit_v) * _PELTIER_K_PER_V
        self._diode.step(cool_c, elapsed_s)

    def _restart(self) -> None:
        self._now = _Settings(**vars(self._saved))
        self._laser_on = False
        self._target_c = self.crystal_c

    def _forget(self) -> None:
        self._saved = _Settings()

    def _ramp(self, elapsed_s: float) -> None:
        step = self._now.heater_rate * elapsed_s
        gap = self._now.heater_set_c - self._target_c
        self._target_c += max(-step, min(step, gap))

    def _heater_v(self) -> float:
        """What the heater gets: the loop's output while it is closed, else what was set."""
        now = self._now
        wanted_v = now.heater_v
        if now.heater_loop:
            wanted_v = max(0.0, (self._target_c - _AMBIENT_C) / _HEATER_K_PER_V)
        return min(wanted_v, now.heater_limit_v)

    def _define(self) -> None:
        def number(name: str, field: str, low: float, high: float, kind: type = float) -> None:
            def read() -> str:
                value = getattr(self._now, field)
                return f"{value:.3f}" if kind is float else str(int(value))

            def write(value: float) -> None:
                setattr(self._now, field, kind(value))

            self._setting(name, read, write, low, high)

        number("power", "power", 0, 3, int)
        number("ploop", "peltier_loop", 0, 1, bool)
        number("hvolt", "heater_v", 0.0, 10.0)
        number("pvolt", "peltier_v", -2.5, 2.5)
        number("hlimit", "heater_limit_v", 0.0, 10.0)
        number("plimit", "peltier_limit_v", 0.0, 2.5)
        number("hsettemp", "heater_set_c", 20.0, 100.0)
        number("psettemp", "peltier_set_c", 20.0, 50.0)
        number("hrate", "heater_rate", 0.0, 1.0)
        number("llimit", "laser_limit_ma", 0.0, 97.0)
        for constant in ("hconstp", "hconsti", "hconstd", "pconstp", "pconsti", "pconstd"):
            number(constant, constant, 0.0, 10.0)
        self._setting("hloop", lambda: str(int(self._now.heater_loop)), self._set_loop, 0, 1)
        self._setting(
            "lcurrent", lambda: f"{self._now.laser_ma:.3f}", self._set_laser_ma, 0.0, 97.0
        )
        self._queries["htemp"] = lambda: f"{self.crystal_c:.3f}"
        self._queries["ptemp"] = lambda: f"{self._diode.temperature_c:.3f}"
        self._queries["hvolt"] = lambda: f"{self._heater_v():.3f}"
        self._queries["htarget"] = lambda: f"{self._target_c:.3f}"
        self._queries["status"] = lambda: str(self._status())
        self._actions["on"] = lambda: setattr(self, "_laser_on", True)
        self._actions["off"] = lambda: setattr(self, "_laser_on", False)
        self._actions["save"] = lambda: setattr(self, "_saved", _Settings(**vars(self._now)))

    def _set_loop(self, value: float) -> None:
        if value and not self._now.heater_loop:
            self._target_c = self.crystal_c
        self._now.heater_loop = bool(value)

    def _set_laser_ma(self, value: float) -> None:
        if value > self._now.laser_limit_ma:
            raise ValueError(f"lcurrent is limited to {self._now.laser_limit_ma:g}")
        self._now.laser_ma = value

    def _status(self) -> int:
        now = self._now
        return now.heater_loop | now.peltier_loop << 1 | self._laser_on << 2 | now.power << 8

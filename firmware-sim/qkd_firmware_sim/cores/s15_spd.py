"""S-Fifteen SPD: an avalanche photodiode with bias, discriminator, cooler and counter."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.core import PS_PER_S, Regulated, Thermal
from qkd_firmware_sim.cores.s15 import S15Core
from qkd_firmware_sim.optics import Response

_AMBIENT_C = 23.0
_COOLER_MAX_V = 4.0
_COOLER_K_PER_V = 18.0
_TIME_CONSTANT_S = 12.0
_STORED = (
    "_bias_v",
    "_threshold_v",
    "_set_temperature_c",
    "_loop",
    "_cooler_v",
    "_gate_ms",
    "_delay",
)


@dataclass(frozen=True)
class Diode:
    """The avalanche diode: its breakdown and its behaviour above it, at the rated temperature."""

    breakdown_v: float = 180.0
    breakdown_v_per_k: float = 0.25
    rated_temperature_c: float = -10.0
    rated_excess_v: float = 15.0
    rated_dark_cps: float = 300.0
    saturated_efficiency: float = 0.58
    excess_scale_v: float = 5.0
    pulse_v_per_excess_v: float = 0.04

    def excess_v(self, bias_v: float, temperature_c: float) -> float:
        """Bias above breakdown; negative where no avalanche can start."""
        drift_v = self.breakdown_v_per_k * (temperature_c - self.rated_temperature_c)
        return bias_v - self.breakdown_v - drift_v

    def efficiency(self, excess_v: float) -> float:
        """Detection probability, which saturates with the excess bias."""
        if excess_v <= 0:
            return 0.0
        return self.saturated_efficiency * -math.expm1(-excess_v / self.excess_scale_v)

    def dark_cps(self, excess_v: float, temperature_c: float) -> float:
        """Dark counts: proportional to the excess bias, doubling every 9 K."""
        if excess_v <= 0:
            return 0.0
        warm = math.exp2((temperature_c - self.rated_temperature_c) / 9.0)
        return self.rated_dark_cps * excess_v / self.rated_excess_v * warm

    def response(self, bias_v: float, temperature_c: float, threshold_v: float) -> Response:
        """Efficiency and dark counts behind a discriminator."""
        excess_v = self.excess_v(bias_v, temperature_c)
        passed = _passed(threshold_v, excess_v * self.pulse_v_per_excess_v)
        noise_cps = 2e6 * math.exp(-((threshold_v / 0.01) ** 2))
        return Response(
            passed * self.efficiency(excess_v),
            passed * self.dark_cps(excess_v, temperature_c) + noise_cps,
        )


class Spd(Regulated, S15Core):
    """The module's firmware; its optical side is `response`."""

    def __init__(self, serial_number: str, diode: Diode, *, thermal_speed: float = 1.0) -> None:
        super().__init__(f"S-Fifteen Instruments SPD {serial_number} firmware 2.1")
        self._diode = diode
        self._thermal_speed = thermal_speed
        self.regulated = Thermal(_AMBIENT_C, _TIME_CONSTANT_S)
        self._gate_start_ps: int | None = None
        self._gate_counts = 0
        self.latched = False
        self._factory()
        self._saved = self._settings_now()
        self._define()

    @property
    def temperature_c(self) -> float:
        return self.regulated.temperature_c

    @property
    def counting(self) -> bool:
        """Whether a gate is open, so that clicks are wanted."""
        return self._gate_start_ps is not None

    def response(self) -> Response:
        """Efficiency and dark counts behind the discriminator, as bias and cooling stand."""
        if self.latched:
            return Response(0.0, 0.0)
        return self._diode.response(self._bias_v, self.temperature_c, self._threshold_v)

    def clicks(self, times_ps: npt.NDArray[np.int64]) -> None:
        """Counts the detector's own pulses that fall into an open gate."""
        if self._gate_start_ps is not None:
            low, high = self._gate_start_ps, self._gate_start_ps + self._gate_ps
            self._gate_counts += int(np.count_nonzero((times_ps >= low) & (times_ps < high)))

    def advance(self, now_ps: int) -> None:
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        super().advance(now_ps)
        self.regulated.step(self._cooled_to_c(), elapsed_s)
        if self._gate_start_ps is not None and now_ps >= self._gate_start_ps + self._gate_ps:
            self._gate_start_ps = None
            self._reply(str(self._gate_counts))
            self._resume()

    def _restart(self) -> None:
        self._gate_start_ps = None
        self.latched = False
        self._restore(self._saved)

    def _forget(self) -> None:
        self._factory()
        self._saved = self._settings_now()

    def _cooled_to_c(self) -> float:
        coldest_c = _AMBIENT_C - _COOLER_MAX_V * _COOLER_K_PER_V
        if self._loop:
            return max(coldest_c, self._set_temperature_c)
        return _AMBIENT_C - self._cooler_v * _COOLER_K_PER_V

    def _busy(self) -> bool:
        return self._gate_start_ps is not None

    def _factory(self) -> None:
        self._bias_v = 0.0
        self._threshold_v = 0.1
        self._set_temperature_c = 20.0
        self._loop = False
        self._cooler_v = 0.0
        self._constants = [1.0, 0.1]
        self._gate_ms = 1000
        self._delay = 0

    def _settings_now(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in _STORED}

    def _restore(self, saved: dict[str, object]) -> None:
        for name, value in saved.items():
            setattr(self, name, value)

    @property
    def _gate_ps(self) -> int:
        return self._gate_ms * 1_000_000_000

    def _define(self) -> None:
        def number(name: str, field: str, low: float, high: float, kind: type = float) -> None:
            def read() -> str:
                value = getattr(self, field)
                return f"{value:.3f}" if kind is float else str(int(value))

            self._setting(name, read, lambda v: setattr(self, field, kind(v)), low, high)

        def constant(name: str, index: int) -> None:
            def write(value: float) -> None:
                self._constants[index] = value

            self._setting(name, lambda: f"{self._constants[index]:.3f}", write, 0.0, 10.0)

        number("hvolt", "_bias_v", 0.0, 250.0)
        number("threshvolt", "_threshold_v", 0.0, 2.0)
        number("settemp", "_set_temperature_c", -30.0, 30.0)
        number("loop", "_loop", 0, 1, bool)
        number("pvolt", "_cooler_v", 0.0, _COOLER_MAX_V)
        number("time", "_gate_ms", 1, 65535, int)
        number("delay", "_delay", 0, 255, int)
        constant("constp", 0)
        constant("consti", 1)
        self._queries["temp"] = lambda: f"{self.temperature_c:.3f}"
        self._actions["save"] = lambda: setattr(self, "_saved", self._settings_now())
        self._actions["abort"] = self._abort
        self._queries["counts"] = self._open_gate

    def _open_gate(self) -> str:
        self._gate_start_ps = self.now_ps
        self._gate_counts = 0
        return ""

    def _abort(self) -> None:
        self._gate_start_ps = None
        self._waiting.clear()


def _passed(threshold_v: float, pulse_v: float) -> float:
    """Share of pulses, spread by a tenth in height, that exceed the threshold."""
    if pulse_v <= 0:
        return 0.0
    return 0.5 * math.erfc((threshold_v - pulse_v) / (0.1 * pulse_v * math.sqrt(2.0)))

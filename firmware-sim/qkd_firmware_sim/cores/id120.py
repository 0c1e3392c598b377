"""ID Quantique ID120: an avalanche diode whose settings are integers in scaled units."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.core import PS_PER_S, Regulated, Thermal
from qkd_firmware_sim.cores.s15_spd import Diode
from qkd_firmware_sim.optics import Response
from qkd_firmware_sim.scpi import ScpiError, ScpiInstrument, parse_choice, parse_integer
from qkd_firmware_sim.scpi.instrument import no_arguments, one

_AMBIENT_C = 23.0
_TIME_CONSTANT_S = 15.0
_STABLE_C = 0.5
_PS_PER_MS = PS_PER_S // 1000

# Minimum, maximum and step of each setting, at power-up at its fourth value.
_SETTINGS = {
    "bias_uv": (0, 250_000_000, 80_000, 0),
    "threshold_uv": (0, 1_047_000, 500, 200_000),
    "dead_time": (40, 1_000_000, 40, 1_000),
    "integration_ms": (200, 100_000, 200, 1_000),
    "set_point_mc": (-50_000, -10_000, 1_000, -40_000),
}


class Id120(Regulated, ScpiInstrument):
    """The detector's firmware; its optical side is `response`.

    A value between two steps is taken to the nearer one; a refused one changes nothing.
    """

    def __init__(self, serial_number: str, diode: Diode, *, thermal_speed: float = 1.0) -> None:
        super().__init__(f"IDQuantique,ID120,{serial_number},1.05")
        self.now_ps = 0
        self._serial_number = serial_number
        self._diode = diode
        self._thermal_speed = thermal_speed
        self.regulated = Thermal(_AMBIENT_C, _TIME_CONSTANT_S)
        self.latched = False
        self.reset()
        self._define_settings()
        self._define_measurements()
        self._define_information()

    @property
    def temperature_c(self) -> float:
        return self.regulated.temperature_c

    @property
    def bias_v(self) -> float:
        return self._values["bias_uv"] / 1e6

    @property
    def counting(self) -> bool:
        """Whether the counter, which runs by itself, can see anything."""
        return self._values["bias_uv"] > 0

    def response(self) -> Response:
        """Efficiency and dark counts behind the discriminator, as bias and cooling stand."""
        if self.latched:
            return Response(0.0, 0.0)
        threshold_v = self._values["threshold_uv"] / 1e6
        return self._diode.response(self.bias_v, self.temperature_c, threshold_v)

    def clicks(self, times_ps: npt.NDArray[np.int64]) -> None:
        """Counts the detector's own pulses."""
        self._counted += len(times_ps)

    def reset(self) -> None:
        self._values = {name: start for name, (_, _, _, start) in _SETTINGS.items()}
        self._cooling = False
        self._polarities = {1: "POSITIVE", 2: "POSITIVE"}
        self._counted = 0
        self._last_count = 0
        self._last_ms = self._values["integration_ms"]
        self._period_ps = self.now_ps

    def power_cycle(self) -> None:
        """Switches the box off and on: no bias, no cooling."""
        self.reset()
        self.latched = False
        self.status.clear()

    lose_settings = power_cycle

    def advance(self, now_ps: int) -> None:
        """Moves the diode's temperature and the counter on to now_ps."""
        elapsed_s = (now_ps - self.now_ps) / PS_PER_S * self._thermal_speed
        self.now_ps = now_ps
        target_c = self._values["set_point_mc"] / 1e3 if self._cooling else _AMBIENT_C
        self.regulated.step(target_c, elapsed_s)
        integration_ms = self._values["integration_ms"]
        if now_ps - self._period_ps >= integration_ms * _PS_PER_MS:
            self._last_count, self._counted = self._counted, 0
            self._last_ms = integration_ms
            self._period_ps = now_ps

    def _define_settings(self) -> None:
        headers = {
            ":BIAS:VOLTAGE": ("bias_uv", ":BIAS:CAPABILITY"),
            ":THRESHOLD:VOLTAGE": ("threshold_uv", ":THRESHOLD:CAPABILITY"),
            ":DEADTIME:TIME": ("dead_time", ":DEADTIME:CAPABILITY"),
            ":COUNTERS:INTEGRATION_TIME": (
                "integration_ms",
                ":COUNTERS:INTEGRATION_TIME_CAPABILITY",
            ),
            ":REG:TEMP_SET_POINT": ("set_point_mc", ":REG:TEMP_SET_POINT_CAPABILITY"),
        }
        for header, (name, capability) in headers.items():
            self._define_setting(header, name, capability)
        self.define(":REG:RUN", set=self._run_cooler, query=no_arguments(self._cooler_runs))
        for output in (1, 2):
            self._define_output(output)

    def _define_setting(self, header: str, name: str, capability: str) -> None:
        low, high, step, _ = _SETTINGS[name]

        def write(arguments: list[str]) -> None:
            value = parse_integer(one(arguments), low, high)
            self._values[name] = low + step * round((value - low) / step)
            if name == "integration_ms":
                self._counted, self._period_ps = 0, self.now_ps

        self.define(header, set=write, query=no_arguments(lambda: str(self._values[name])))
        self.define(capability, query=no_arguments(lambda: f"{low},{high},{step}"))

    def _define_output(self, output: int) -> None:
        def write(arguments: list[str]) -> None:
            chosen = parse_choice(one(arguments), ("POSITIVE", "NEGATIVE"))
            self._polarities[output] = chosen

        self.define(
            f":OUTPUT{output}:POLARITY",
            set=write,
            query=no_arguments(lambda: self._polarities[output]),
        )

    def _define_measurements(self) -> None:
        answers: dict[str, Callable[[], str]] = {
            ":BIAS:ERROR_STATUS": lambda: _word(self.latched),
            ":REG:MEASURED_TEMP": lambda: str(round(self.temperature_c * 1e3)),
            ":REG:STATE": self._state,
            ":COUNTERS:DETECTION_COUNT": lambda: str(self._last_count),
            ":COUNTERS:DETECTION_FREQ": lambda: str(round(self._last_count * 1e3 / self._last_ms)),
        }
        for header, answer in answers.items():
            self.define(header, query=no_arguments(answer))

    def _define_information(self) -> None:
        known = {
            "PRODUCT_SERIAL_NUMBER": self._serial_number,
            "PRODUCT_DESCRIPTION": "Visible single-photon detector",
            "FIRMWARE_VERSION": "1.05",
            "VENDOR_NAME": "IDQuantique",
            "MANUFACTURER_NAME": "IDQuantique",
            "APD_TYPE": "500UM",
            "BIAS_BREAKDOWN_VOLTAGE": str(round(self._diode.breakdown_v * 1e6)),
        }
        self.define(
            ":INFO:PRODUCT_NAME", query=no_arguments(lambda: [*self.identity.split(","), ""][1])
        )
        for name, told in known.items():
            self.define(f":INFO:{name}", query=no_arguments(partial(str, told)))

    def _run_cooler(self, arguments: list[str]) -> None:
        word = one(arguments).upper()
        if word not in ("TRUE", "FALSE"):
            raise ScpiError(-224, word)
        self._cooling = word == "TRUE"

    def _cooler_runs(self) -> str:
        return _word(self._cooling)

    def _state(self) -> str:
        if not self._cooling:
            return "OFF"
        away_c = abs(self.temperature_c - self._values["set_point_mc"] / 1e3)
        return "STABLE" if away_c < _STABLE_C else "COOLING"


def _word(value: bool) -> str:
    return str(value).upper()

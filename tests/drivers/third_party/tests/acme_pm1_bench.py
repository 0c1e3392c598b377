"""A simulated PM1 for qkdlink's contract suite: a pytest plugin, ``-p acme_pm1_bench``."""

from bench import STRANGERS

from qkd_firmware_sim.cores.lines import LineCore
from qkd_firmware_sim.registry import SIMULATED, Simulated


class Pm1(LineCore):
    """The meter's firmware."""

    def __init__(self, serial_number: str) -> None:
        super().__init__()
        self._serial_number = serial_number
        self._wavelength_nm = 633.0

    def answer(self, line: str) -> str:
        match line.split():
            case ["ID?"]:
                return f"ACME PM1 {self._serial_number}"
            case ["W?"]:
                return "12.5"
            case ["L?"]:
                return f"{self._wavelength_nm:.1f}"
            case ["L", wavelength_nm]:
                self._wavelength_nm = float(wavelength_nm)
                return ""
        return "ERR"


SIMULATED["acme-pm1"] = Simulated(lambda spot: Pm1(spot.serial_number), ("pty",))
STRANGERS["acme-pm1"] = "PM1"

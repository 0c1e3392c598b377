"""Other instruments in the place of the one that is meant, which speak its tongue."""

from collections.abc import Callable
from functools import partial
from typing import Any

import bench as lab

from qkd_firmware_sim.cores.websq import WebSq

RELATIVES: dict[str, tuple[str, str]] = {
    "s15-tdc1": ("S-Fifteen Instruments SPDCSDR SPDC-3", "SPDCSDR"),
    "s15-spd": ("S-Fifteen Instruments TDC1 TDC-5", "TDC1"),
    "s15-spdc": ("S-Fifteen Instruments SPD SPD-7", "SPD"),
    "s15-spdc-source": ("S-Fifteen Instruments SPD SPD-7", "SPD"),
    "idq-id120": ("IDQuantique,ID100,1209,1.05", "ID100"),
    "idq-id900": ("IDQuantique,ID801,T801-1,1.14.0", "ID801"),
    "thorlabs-itc4000": ("Thorlabs,PM100D,P0012,2.6.0", "PM100D"),
    "thorlabs-pm100d": ("Thorlabs,ITC4001,M00412,1.8.0", "ITC4001"),
    "keysight-33500": ("Agilent Technologies,81160A,MY1234,1.0.3.0", "81160A"),
    "srs-ldc500": ("Stanford_Research_Systems,SIM940,003142,1.1", "SIM940"),
    "cobolt-06": ("0660-08-01-0200-100", "0660-08-01"),
    "coherent-obis": ("Coherent, Inc - Sapphire 488 - V1.0.1 - Mar 11 2019", "Sapphire 488"),
    "qc-9530": ("QC,8000,8123,2.0.1-1.0.2", "8000"),
    "srs-fs725": ("SR620_1.48_SN_4711", "SR620"),
    "thorlabs-k10cr1": ("KDC101", "KDC101"),
    "thorlabs-mpc320": ("KDC101", "KDC101"),
    "thorlabs-ell14": ("06", "Elliptec of type 6"),
}
"""A relative of each model that says what it is: its answer, and the name in it."""


class _Cryostat(WebSq):
    """Of the same make, without a detector."""

    def _labels(self) -> dict[str, object]:
        return {"Temperature": {"units": "K", "value": 2.7}}


STRANGERS: dict[str, Callable[[], Any]] = {
    "oz-epc400": lambda: lab.simulated("oz-dd100"),
    "oz-dd100": lab.epc,
    "jdsu-ha9": lambda: lab.simulated("cobolt-06"),
    "qubitekk-qes": lambda: lab.simulated("cobolt-06"),
    "single-quantum-websq": _Cryostat,
}
"""What stands in the place of a model that does not say what it is."""


def another(model: str) -> tuple[Any, str]:
    """The core of another instrument than model on wires of the same kind, and its name.

    The name is a regular expression: of what has none, it is how the driver tells of an answer.
    """
    if model in RELATIVES:
        core = lab.simulated(model)
        core.identity, name = RELATIVES[model]
        return core, name
    make = STRANGERS.get(model, partial(lab.simulated, "cobolt-06"))
    return make(), "which this model does not say|is this a"

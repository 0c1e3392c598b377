"""Which core simulates which model, on what wires, and what it is to the light."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qkd_firmware_sim.cores.cobolt06 import Cobolt06
from qkd_firmware_sim.cores.core import PS_PER_S, Core
from qkd_firmware_sim.cores.dd100 import Dd100
from qkd_firmware_sim.cores.ell14 import Ell14Bus
from qkd_firmware_sim.cores.epc400 import Epc400
from qkd_firmware_sim.cores.ha9 import Ha9
from qkd_firmware_sim.cores.id120 import Id120
from qkd_firmware_sim.cores.id900 import Id900
from qkd_firmware_sim.cores.itc4000 import Itc4000
from qkd_firmware_sim.cores.k10cr1 import K10cr1
from qkd_firmware_sim.cores.keysight33500 import Keysight33500
from qkd_firmware_sim.cores.ldc500 import Ldc500
from qkd_firmware_sim.cores.mpc320 import Mpc320
from qkd_firmware_sim.cores.obis import Obis
from qkd_firmware_sim.cores.pm100d import Pm100d
from qkd_firmware_sim.cores.prs10 import Prs10
from qkd_firmware_sim.cores.qc9530 import Qc9530
from qkd_firmware_sim.cores.qes import Qes
from qkd_firmware_sim.cores.s15_spd import Diode, Spd
from qkd_firmware_sim.cores.s15_spdc import SpdcDriver
from qkd_firmware_sim.cores.s15_tdc1 import Tdc1
from qkd_firmware_sim.cores.websq import WebSq
from qkd_firmware_sim.roles import Role
from qkd_firmware_sim.table import End


@dataclass(frozen=True)
class Spot:
    """Where an instrument stands: what its core may know of the lab."""

    serial_number: str
    end: End
    random: np.random.Generator
    thermal_speed: float = 1.0
    tagger_fifo_bytes: int = 1 << 20


@dataclass(frozen=True)
class Simulated:
    """A model that the simulator has."""

    make: Callable[[Spot], Core]
    fronts: tuple[str, ...]
    """Its wires: names of `qkd_firmware_sim.bench.FRONTS`."""
    role: Role = Role.NONE
    baud: int | None = None
    """That of its serial line as delivered, at which it answers; None where USB has no such line.

    An entry of the lab file says otherwise.
    """


def _tdc1(spot: Spot) -> Core:
    latency_ps = round(spot.end.clock.max_start_latency_ms * PS_PER_S / 1000)
    return Tdc1(
        spot.serial_number,
        spot.random,
        max_start_latency_ps=latency_ps,
        fifo_bytes=spot.tagger_fifo_bytes,
        pulses=spot.end.detectors.pulses,
    )


def _id900(spot: Spot) -> Core:
    return Id900(
        spot.serial_number,
        fifo_bytes=spot.tagger_fifo_bytes,
        pulses=spot.end.detectors.pulses,
    )


def _diode(spot: Spot) -> Diode:
    detectors = spot.end.detectors
    return Diode(
        breakdown_v=detectors.breakdown_v,
        rated_dark_cps=detectors.rated_dark_cps,
        saturated_efficiency=detectors.saturated_efficiency,
    )


SIMULATED: dict[str, Simulated] = {
    "s15-tdc1": Simulated(_tdc1, ("pty",), Role.TAGGER),
    "idq-id900": Simulated(_id900, ("zmtp",), Role.TAGGER),
    "s15-spd": Simulated(
        lambda spot: Spd(spot.serial_number, _diode(spot), thermal_speed=spot.thermal_speed),
        ("pty",),
        Role.DETECTOR,
    ),
    "idq-id120": Simulated(
        lambda spot: Id120(spot.serial_number, _diode(spot), thermal_speed=spot.thermal_speed),
        ("pty", "hislip"),
        Role.DETECTOR,
        baud=115200,
    ),
    "single-quantum-websq": Simulated(lambda spot: WebSq(), ("two-tcp",), Role.NANOWIRES),
    "s15-spdc": Simulated(
        lambda spot: SpdcDriver(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("pty",),
        Role.OVEN,
    ),
    "s15-spdc-source": Simulated(
        lambda spot: SpdcDriver(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("pty",),
        Role.SOURCE,
    ),
    "thorlabs-itc4000": Simulated(
        lambda spot: Itc4000(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("tcp", "hislip"),
        Role.PUMP,
    ),
    "keysight-33500": Simulated(lambda spot: Keysight33500(spot.serial_number), ("tcp", "hislip")),
    "srs-ldc500": Simulated(
        lambda spot: Ldc500(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("tcp", "pty"),
        Role.PUMP,
        baud=9600,
    ),
    "oz-epc400": Simulated(
        lambda spot: Epc400(random=spot.random), ("pty",), Role.RETARDERS, baud=9600
    ),
    "thorlabs-ell14": Simulated(
        lambda spot: Ell14Bus(spot.serial_number, speed=spot.thermal_speed),
        ("pty",),
        Role.RETARDERS,
        baud=9600,
    ),
    "thorlabs-pm100d": Simulated(
        lambda spot: Pm100d(spot.serial_number), ("tcp", "hislip"), Role.MONITOR
    ),
    "thorlabs-k10cr1": Simulated(
        lambda spot: K10cr1(spot.serial_number, speed=spot.thermal_speed),
        ("pty",),
        Role.RETARDERS,
        baud=115200,
    ),
    "thorlabs-mpc320": Simulated(
        lambda spot: Mpc320(spot.serial_number, speed=spot.thermal_speed),
        ("pty",),
        Role.RETARDERS,
        baud=115200,
    ),
    "cobolt-06": Simulated(
        lambda spot: Cobolt06(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("pty",),
        Role.PUMP,
        baud=115200,
    ),
    "oz-dd100": Simulated(
        lambda spot: Dd100(motor_speed=spot.thermal_speed), ("pty",), Role.ATTENUATOR, baud=9600
    ),
    "qc-9530": Simulated(lambda spot: Qc9530(spot.serial_number), ("pty", "tcp"), baud=38400),
    "srs-fs725": Simulated(
        lambda spot: Prs10(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("pty",),
        baud=9600,
    ),
    "jdsu-ha9": Simulated(
        lambda spot: Ha9(motor_speed=spot.thermal_speed), ("pty", "tcp"), Role.ATTENUATOR, baud=9600
    ),
    "coherent-obis": Simulated(
        lambda spot: Obis(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("pty",),
        Role.PUMP,
        baud=115200,
    ),
    "qubitekk-qes": Simulated(
        lambda spot: Qes(spot.serial_number, thermal_speed=spot.thermal_speed),
        ("pty",),
        Role.SOURCE,
        baud=115200,
    ),
}

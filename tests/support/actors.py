"""Each kind of instrument as the actor that keeps it: a model, its wire, where it shall be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import bench as lab

from qkd_controller.config.node import Device
from qkd_controller.devices import DeviceActor, State, TaggerActor

LASER = {
    "temperature_c": 25.0,
    "current_a": 0.05,
    "current_limit_a": 0.08,
    "ramp_a_per_s": 0.5,
    "settle_tolerance_c": 0.5,
    "settle_s": 0.05,
}
OVEN = {
    "temperature_c": 40.0,
    "ramp_k_per_s": 1.0,
    "settle_tolerance_c": 0.5,
    "settle_s": 0.05,
}
DETECTOR = {
    "bias_voltage_v": 120.0,
    "threshold_v": 0.2,
    "temperature_c": -15.0,
    "settle_tolerance_c": 0.5,
    "settle_s": 0.05,
}
HEAD = {"power_w": 0.035}
SOURCE = {
    "temperature_c": 40.0,
    "current_a": 0.06,
    "settle_tolerance_c": 0.5,
    "settle_s": 0.05,
}
EPC = {"voltages_mv": [100, -200, 300, -400]}

ADDRESS_OPTIONS = {"qubitekk-qes": "?pause_ms=0"}
"""How a model is spoken to, where that is not as it is by itself."""

CASES: list[tuple[str, str, Any, str, dict[str, Any], Any]] = [
    ("laser", "thorlabs-itc4000", lab.itc, "tcp", LASER, lambda core: core.current_a == 0.05),
    ("laser", "thorlabs-itc4000", lab.itc, "hislip", LASER, lambda core: core.current_a == 0.05),
    ("crystal_oven", "s15-spdc", lab.spdc, "pty", OVEN, lambda core: core.crystal_c > 39),
    ("detector", "s15-spd", lab.spd, "pty", DETECTOR, lambda core: core._bias_v == 120),
    (
        "laser",
        "srs-ldc500",
        lambda: lab.simulated("srs-ldc500"),
        "tcp",
        LASER,
        lambda core: core.current_a == 0.05,
    ),
    (
        "pulse_generator",
        "keysight-33500",
        lambda: lab.simulated("keysight-33500"),
        "tcp",
        {
            "period_s": 1e-6,
            "pulses": [{"channel": 2, "width_s": 30e-9, "amplitude_v": 3.3, "delay_s": 2e-7}],
        },
        lambda core: core.output(1) is None and core.output(2) is not None,
    ),
    (
        "detector",
        "idq-id120",
        lambda: lab.simulated("idq-id120"),
        "hislip",
        DETECTOR,
        lambda core: core.bias_v == 120,
    ),
    (
        "nanowire_detectors",
        "single-quantum-websq",
        partial(lab.simulated, "single-quantum-websq"),
        "two-tcp",
        {"bias_currents_a": [18e-6] * 4, "triggers_v": [0.1] * 4},
        lambda core: core.enabled and core.currents_ua == [18.0] * 4,
    ),
    (
        "power_meter",
        "thorlabs-pm100d",
        lambda: lab.simulated("thorlabs-pm100d"),
        "tcp",
        {"wavelength_nm": 405.0},
        lambda core: core._wavelength_nm == 405,
    ),
    (
        "polarisation_controller",
        "oz-epc400",
        lab.epc,
        "pty",
        EPC,
        lambda core: core.voltages_mv == (100, -200, 300, -400),
    ),
    (
        "rotator",
        "thorlabs-ell14",
        lambda: lab.simulated("thorlabs-ell14"),
        "pty",
        {"positions_deg": [45.0]},
        lambda core: round(core.mounts["0"].counter) == 0x23000 // 8,
    ),
    (
        "rotator",
        "thorlabs-k10cr1",
        lambda: lab.simulated("thorlabs-k10cr1"),
        "pty",
        {"positions_deg": [45.0]},
        lambda core: round(core.motors[1].counter) == 409600 * 15,
    ),
    (
        "rotator",
        "thorlabs-mpc320",
        lambda: lab.simulated("thorlabs-mpc320"),
        "pty",
        {"positions_deg": [17.0, 34.0, 170.0]},
        lambda core: [round(m.counter) for m in core.motors.values()] == [137, 274, 1370],
    ),
    (
        "laser_head",
        "cobolt-06",
        partial(lab.simulated, "cobolt-06"),
        "pty",
        HEAD,
        lambda core: abs(core.light_w - 0.035) < 1e-9,
    ),
    (
        "attenuator",
        "oz-dd100",
        partial(lab.simulated, "oz-dd100"),
        "pty",
        {"attenuation_db": 10.0},
        lambda core: core.homed and abs(core.loss_db - 10) < 0.01,
    ),
    (
        "pulse_generator",
        "qc-9530",
        partial(lab.simulated, "qc-9530"),
        "tcp",
        {"period_s": 1e-6, "pulses": [{"channel": 2, "width_s": 2e-8, "amplitude_v": 3.0}]},
        lambda core: core.output(2) == (2e-8, 0.0, 3.0) and core.output(1) is None,
    ),
    (
        "frequency_reference",
        "srs-fs725",
        partial(lab.simulated, "srs-fs725"),
        "pty",
        {"discipline": False, "must_lock": False},
        lambda core: core.answer("PL?") == "0",
    ),
    (
        "attenuator",
        "jdsu-ha9",
        partial(lab.simulated, "jdsu-ha9"),
        "tcp",
        {"attenuation_db": 10.0, "wavelength_nm": 1550.0},
        lambda core: core.loss_db == 10 and round(core.wavelength_m, 9) == 1.55e-6,
    ),
    (
        "laser_head",
        "coherent-obis",
        partial(lab.simulated, "coherent-obis"),
        "pty",
        HEAD,
        lambda core: abs(core.light_w - 0.035) < 1e-9,
    ),
    (
        "pair_source",
        "qubitekk-qes",
        partial(lab.simulated, "qubitekk-qes"),
        "pty",
        SOURCE,
        lambda core: abs(core.current_a - 0.06) < 1e-9 and abs(core.crystal_c - 40) < 0.5,
    ),
    ("tagger", "s15-tdc1", lab.tdc1, "pty", {"level": "NIM"}, lambda core: core._level_v == -0.5),
]


@asynccontextmanager
async def running(actor: DeviceActor) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(actor.run())
        try:
            yield
        finally:
            task.cancel()


def actor_for(
    address: str, kind: Any, model: str, set_points: dict[str, Any], **options: Any
) -> DeviceActor:
    address += ADDRESS_OPTIONS.get(model, "")
    config = Device(name="it", kind=kind, model=model, address=address, set_points=set_points)
    make = TaggerActor if kind == "tagger" else DeviceActor
    return make(config, poll_s=0.02, reconnect_s=(0.02, 0.1), **options)


async def until(actor: DeviceActor, state: State) -> None:
    async with asyncio.timeout(10):
        await actor.until(state)

"""Set-points outside a device's own limits are refused before anything is sent to it."""

import asyncio
import re
import time
from typing import Any

import bench as lab
import pytest
from actors import CASES, LASER, actor_for, running, until
from bench import Bench, eventually

from qkd_controller.devices import DeviceActor, DeviceNotReady, State, StateChange
from qkd_controller.devices.kinds import KINDS
from qkd_drivers.framing import Wire

PULSE = {"channel": 2, "width_s": 2e-8, "amplitude_v": 3.0}
OUTSIDE: dict[str, list[tuple[dict[str, Any], str]]] = {
    "thorlabs-itc4000": [
        ({"current_limit_a": 50.0}, r"current_limit_a = 50 is outside 0 … 1;.*this ITC4001"),
        ({"temperature_c": 60.0}, "temperature_c = 60 is outside 5 … 40"),
        ({"current_a": 0.09}, "current_a = 0.09 is above current_limit_a = 0.08"),
    ],
    "srs-ldc500": [({"current_limit_a": 50.0}, r"current_limit_a = 50 is outside 0 … 0.25")],
    "s15-spdc": [({"temperature_c": 101.0}, "temperature_c = 101 is outside 20 … 100")],
    "s15-spd": [({"threshold_v": 3.0}, "threshold_v = 3 is outside -2 … 2")],
    "idq-id120": [
        ({"bias_voltage_v": 251.0}, "bias_voltage_v = 251 is outside 0 … 250"),
        ({"temperature_c": -90.0}, "temperature_c = -90 is outside -50 … -10"),
    ],
    "keysight-33500": [
        ({"period_s": 1e9}, r"period_s = 1e\+09 is outside"),
        ({"pulses": [PULSE | {"amplitude_v": 99}]}, "channel 2: amplitude_v = 99 is outside"),
        (
            {"pulses": [PULSE | {"delay_s": 2e-6}]},
            "channel 2: delay_s = 2e-06 is outside 0 … 1e-06",
        ),
        ({"pulses": [PULSE | {"channel": 3}]}, "channel 3: channel = 3 is outside 1 … 2"),
    ],
    "qc-9530": [
        ({"pulses": [PULSE | {"amplitude_v": 99}]}, "channel 2: amplitude_v = 99 is outside")
    ],
    "single-quantum-websq": [
        ({"bias_currents_a": [1e-3] * 4}, "bias_currents_a = 0.001 is outside 0 … "),
        (
            {"bias_currents_a": [0.0] * 3, "triggers_v": [0.1] * 3},
            "3 bias_currents_a for 4 channels",
        ),
    ],
    "thorlabs-pm100d": [({"wavelength_nm": 5000.0}, "wavelength_nm = 5000 is outside 400 … 1100")],
    "oz-epc400": [({"voltages_mv": [0, 0, 0, 5001]}, "voltages_mv = 5001 is outside -5000 … 5000")],
    "thorlabs-ell14": [({"positions_deg": [361.0]}, "positions_deg = 361 is outside 0 … 360")],
    "thorlabs-k10cr1": [
        ({"positions_deg": [-361.0]}, "positions_deg = -361 is outside -360 … 360")
    ],
    "thorlabs-mpc320": [({"positions_deg": [0.0, 0.0, 171.0]}, "positions_deg = 171 is outside 0")],
    "cobolt-06": [({"power_w": 10.0}, "power_w = 10 is outside 0 … 0.12")],
    "coherent-obis": [({"power_w": 10.0}, "power_w = 10 is outside 0.* … 0.12")],
    "oz-dd100": [
        ({"attenuation_db": 61.0}, "attenuation_db = 61 is outside .* … 60"),
        ({"wavelength_nm": 1550.0}, "wavelength_nm: the device has one calibration; leave it out"),
    ],
    "jdsu-ha9": [({"wavelength_nm": 800.0}, "wavelength_nm = 800 is outside 1200 … 1650")],
    "srs-fs725": [({"discipline": "perhaps"}, "discipline = 'perhaps': Expected `bool`")],
    "s15-tdc1": [({"level": "-4"}, "level = -4 is outside -3.3 … 3.3")],
    "qubitekk-qes": [
        ({"temperature_c": 51.0}, "temperature_c = 51 is outside 10 … 50"),
        ({"current_limit_a": 0.1}, "current_limit_a: the device keeps that by itself; leave it"),
    ],
    "s15-spdc-source": [
        ({"temperature_c": 101.0}, "temperature_c = 101 is outside 20 … 100"),
        ({"diode_temperature_c": 51.0}, "diode_temperature_c = 51 is outside 20 … 50"),
        ({"current_limit_a": 0.1}, "current_limit_a = 0.1 is outside 0 … 0.097"),
        ({"current_a": 0.09}, "current_a = 0.09 is above current_limit_a = 0.08"),
        ({"current_limit_a": None, "current_a": 0.09}, "current_a = 0.09 is outside 0 … 0.0[68]"),
    ],
}
ROWS = [
    pytest.param(case, change, message, id=f"{case[1]}-{case[3]}-{'-'.join(change)}")
    for case in CASES
    for change, message in OUTSIDE[case[1]]
]
every_limit = pytest.mark.parametrize(("case", "change", "message"), ROWS)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)


def test_every_kind_of_device_that_can_be_set_is_tried() -> None:
    assert {case[0] for case in CASES} == KINDS.keys() - {"passive_detector"}


def orders(actor: DeviceActor) -> list[str]:
    """Whatever tells the device to do something, from now on."""
    told: list[str] = []

    def watched(name: str) -> Any:
        order = getattr(actor.device, name)

        async def tell(*args: Any, **options: Any) -> Any:
            told.append(name)
            return await order(*args, **options)

        return tell

    for name in dir(type(actor.device)):
        if name.startswith(("set_", "move", "home", "hold", "configure")) and name != "homed":
            setattr(actor.device, name, watched(name))
    assert told == []
    return told


@every_limit
async def test_what_is_set_outside_the_limits_is_not_sent(
    bench: Bench, case: Any, change: dict[str, Any], message: str
) -> None:
    kind, model, make, front, set_points, there = case
    core = make()
    address, _ = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points)
    async with running(actor):
        await until(actor, State.READY)
        before, told = actor.set_points, orders(actor)
        with pytest.raises(ValueError, match=f"^it: .*{message}"):
            await actor.set(**change)
        assert actor.state is State.READY and actor.set_points == before
        assert there(core)
        assert told == []


@every_limit
async def test_what_is_configured_outside_the_limits_is_not_sent(
    bench: Bench, case: Any, change: dict[str, Any], message: str
) -> None:
    """Refused before there is an actor, or as the cause for which the device is not ready."""
    kind, model, make, front, set_points, _ = case
    address, _ = await bench.plug(make(), front=front)
    try:
        actor = actor_for(address, kind, model, set_points | change)
    except ValueError as error:
        told = str(error)
        assert told.startswith("it: ")
    else:
        sent = orders(actor)
        async with running(actor):
            await until(actor, State.SETTLING)
            await until(actor, State.DISCONNECTED)
            told = actor.cause
        assert "nothing was sent: choose values within the limits" in told
        assert sent == []
    assert re.search(message, told)


async def test_what_was_set_while_the_device_was_away_and_is_refused_is_not_kept(
    bench: Bench,
) -> None:
    core = lab.itc()
    address, wire = await bench.plug(core, front="tcp")
    changes: list[StateChange] = []
    actor = actor_for(address, "laser", "thorlabs-itc4000", LASER, on_event=changes.append)
    async with running(actor):
        await until(actor, State.READY)
        await wire.apply("cut")
        await until(actor, State.DISCONNECTED)
        with pytest.raises(DeviceNotReady, match="waits"):
            await actor.set(current_limit_a=50.0)
        await wire.apply("restore")
        await eventually(lambda: any("is outside 0 … 1" in change.cause for change in changes))
        await until(actor, State.READY)
        assert actor.set_points.current_limit_a == LASER["current_limit_a"]
        assert core.current_a == LASER["current_a"]


async def test_a_tripped_device_is_asked_for_its_limits_too(bench: Bench) -> None:
    """What is set then is driven to once it is re-armed, so it is held against them at once."""
    core = lab.itc()
    address, _ = await bench.plug(core, front="tcp")
    actor = actor_for(address, "laser", "thorlabs-itc4000", LASER)
    async with running(actor):
        await until(actor, State.READY)
        core.set_interlock(True)
        await until(actor, State.TRIPPED)
        tripped_s = time.time()
        await eventually(lambda: any(r.utc_s > tripped_s for r in actor.readings.values()))
        with pytest.raises(ValueError, match="current_limit_a = 50 is outside 0 … 1"):
            await actor.set(current_limit_a=50.0)
        with pytest.raises(DeviceNotReady, match="waits"):
            await actor.set(current_a=0.06)
        core.set_interlock(False)
        actor.rearm()
        await until(actor, State.READY)
        assert core.current_a == 0.06


async def test_a_refused_change_does_not_take_another_with_it(bench: Bench) -> None:
    core = lab.itc()
    address, _ = await bench.plug(core, front="tcp")
    actor = actor_for(address, "laser", "thorlabs-itc4000", LASER)
    async with running(actor):
        await until(actor, State.READY)
        refused, _ = await asyncio.gather(
            actor.set(current_limit_a=50.0), actor.set(current_a=0.06), return_exceptions=True
        )
        assert "is outside" in str(refused)
        assert core.current_a == 0.06


async def test_a_current_may_be_set_together_with_its_limit(bench: Bench) -> None:
    core = lab.itc()
    address, _ = await bench.plug(core, front="tcp")
    actor = actor_for(address, "laser", "thorlabs-itc4000", LASER)
    async with running(actor):
        await until(actor, State.READY)
        await actor.set(current_limit_a=0.2, current_a=0.15)
        assert core.current_a == pytest.approx(0.15)


async def test_a_pulse_is_held_against_the_period_that_is_wanted_with_it(bench: Bench) -> None:
    core = lab.simulated("keysight-33500")
    address, _ = await bench.plug(core, front="tcp")
    wanted = {"period_s": 1e-6, "pulses": [PULSE]}
    actor = actor_for(address, "pulse_generator", "keysight-33500", wanted)
    async with running(actor):
        await until(actor, State.READY)
        long = PULSE | {"width_s": 4e-4, "delay_s": 5e-4}
        await actor.set(period_s=1e-3, pulses=[long])
        assert core.output(2) == pytest.approx((4e-4, 5e-4, 3.0))
        with pytest.raises(ValueError, match=r"width_s = 0\.0004 is not below period_s"):
            await actor.set(period_s=1e-4)

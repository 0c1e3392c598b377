"""The actor keeps its device at the set-points through losses, resets and trips."""

import asyncio
import time
from typing import Any

import bench as lab
import pytest
from actors import BOARD, CASES, DETECTOR, EPC, LASER, OVEN, SOURCE, actor_for, running, until
from bench import Bench, eventually

from qkd_controller.config.node import Device
from qkd_controller.devices import (
    ChangeKept,
    DeviceActor,
    DeviceNotReady,
    State,
    StateChange,
    TaggerActor,
)
from qkd_controller.devices.kinds import LIGHT_KINDS
from qkd_drivers.contract import Limits
from qkd_drivers.errors import DeviceError
from qkd_drivers.framing import Wire

every_instrument = pytest.mark.parametrize(
    ("kind", "model", "make", "front", "set_points", "there"),
    CASES,
    ids=[f"{case[1]}-{case[3]}" for case in CASES],
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)


async def laser(bench: Bench) -> tuple[Any, Any, DeviceActor]:
    core = lab.itc()
    address, wire = await bench.plug(core, front="tcp")
    return core, wire, actor_for(address, "laser", "thorlabs-itc4000", LASER)


@every_instrument
async def test_set_points_hold_after_a_cut_and_a_reset(
    bench: Bench, kind: str, model: str, make: Any, front: str, set_points: Any, there: Any
) -> None:
    core = make()
    address, wire = await bench.plug(core, front=front)
    changes: list[StateChange] = []
    actor = actor_for(address, kind, model, set_points, on_event=changes.append)
    async with running(actor):
        await until(actor, State.READY)
        assert there(core)
        await wire.apply("cut")
        if isinstance(actor, TaggerActor):
            actor.report_fault("its wire was cut")  # as the stream does, which owns the wire
        await until(actor, State.DISCONNECTED)
        core.lose_settings()
        if kind != "tagger":
            assert not there(core) or kind == "crystal_oven"
        await wire.apply("restore")
        if kind in LIGHT_KINDS:  # what was lit and is dark stays dark until the operator says so
            await until(actor, State.TRIPPED)
            actor.rearm()
        await until(actor, State.READY)
        await eventually(lambda: there(core))
    assert actor.state is State.DISCONNECTED
    assert all(change.cause for change in changes)
    assert [change.state for change in changes[:3]] == [
        State.CONNECTING,
        State.SETTLING,
        State.READY,
    ]


async def test_a_reset_without_a_cut_is_noticed_and_mended(bench: Bench) -> None:
    core = lab.spd()
    address, _ = await bench.plug(core)
    changes: list[StateChange] = []
    actor = actor_for(address, "detector", "s15-spd", DETECTOR, on_event=changes.append)
    async with running(actor):
        await until(actor, State.READY)
        await eventually(lambda: "bias_voltage_v" in actor.observed)
        core.lose_settings()
        await eventually(lambda: any("bias_voltage_v is 0" in c.cause for c in changes))
        await until(actor, State.READY)
        assert core._bias_v == 120
        assert "temperature_c" in actor.readings


async def test_nothing_is_told_of_a_device_that_is_away(bench: Bench) -> None:
    """What it read and held at last is not what it reads and holds."""
    _, wire, actor = await laser(bench)
    async with running(actor):
        await until(actor, State.READY)
        await eventually(lambda: actor.readings and actor.observed)
        await wire.apply("cut")
        await until(actor, State.DISCONNECTED)
        await eventually(lambda: not actor.readings and not actor.observed)
        await wire.apply("restore")
        await until(actor, State.READY)
        await eventually(lambda: "current_a" in actor.readings and "current_a" in actor.observed)


async def test_a_tripped_device_is_read_but_holds_nothing(bench: Bench) -> None:
    core, _, actor = await laser(bench)
    async with running(actor):
        await until(actor, State.READY)
        await eventually(lambda: "current_a" in actor.observed)
        core.set_interlock(True)
        await until(actor, State.TRIPPED)
        tripped_s = time.time()
        await eventually(lambda: any(r.utc_s > tripped_s for r in actor.readings.values()))
        assert actor.readings["current_a"].value == 0 and actor.observed == {}


async def test_a_calibration_that_somebody_changes_is_driven_back(bench: Bench) -> None:
    core: Any = lab.simulated("jdsu-ha9")
    address, _ = await bench.plug(core, front="tcp")
    wanted = {"attenuation_db": 10.0, "wavelength_nm": 1550.0}
    actor = actor_for(address, "attenuator", "jdsu-ha9", wanted)
    causes: list[str] = []
    actor._on_event = lambda change: causes.append(change.cause)
    async with running(actor):
        await until(actor, State.READY)
        core._wavelength_m = 1.31e-6
        await eventually(lambda: "wavelength_nm is 1310, wanted 1550" in causes)
        await until(actor, State.READY)
        assert core.wavelength_m == pytest.approx(1.55e-6)


async def test_the_laser_warms_up_before_it_is_lit(bench: Bench) -> None:
    core, _, actor = await laser(bench)
    core.warm_by(8)
    lit_at: list[float] = []
    async with running(actor):
        async with asyncio.timeout(10):
            while actor.state is not State.READY:
                if core.current_a > 0 and not lit_at:
                    lit_at.append(core.diode_c)
                await asyncio.sleep(0.001)
        assert lit_at and abs(lit_at[0] - 25) < 0.6


async def test_a_trip_stays_until_the_operator_rearms(bench: Bench) -> None:
    core, wire, actor = await laser(bench)
    async with running(actor):
        await until(actor, State.READY)
        core.set_interlock(True)
        await until(actor, State.TRIPPED)
        assert "interlock" in actor.cause
        core.set_interlock(False)
        await wire.apply("cut")
        await eventually(lambda: "interlock" in actor.cause and "meanwhile" in actor.cause)
        assert actor.state is State.TRIPPED
        await wire.apply("restore")
        await eventually(lambda: "meanwhile" not in actor.cause)
        assert actor.state is State.TRIPPED and "interlock" in actor.cause
        assert core.current_a == 0
        actor.rearm()
        await until(actor, State.READY)
        assert core.current_a == 0.05


async def test_a_laser_that_loses_its_cooling_is_put_out(bench: Bench) -> None:
    core, _, actor = await laser(bench)
    async with running(actor):
        await until(actor, State.READY)
        core._tec_on = False
        await until(actor, State.TRIPPED)
        assert "temperature control" in actor.cause
        await eventually(lambda: core.current_a == 0)


async def test_a_detector_whose_supply_fails_is_left_without_bias(bench: Bench) -> None:
    core = lab.simulated("idq-id120")
    address, _ = await bench.plug(core, front="hislip")
    actor = actor_for(address, "detector", "idq-id120", DETECTOR)
    async with asyncio.TaskGroup() as group:
        group.create_task(actor.run())
        await until(actor, State.READY)
        core.latched = True
        await until(actor, State.TRIPPED)
        await eventually(lambda: core.bias_v == 0)
        core.latched = False
        before = actor.readings
        await eventually(lambda: actor.readings != before)
        assert actor.state is State.TRIPPED and core.bias_v == 0
        actor.rearm()
        await until(actor, State.READY)
        assert core.bias_v == DETECTOR["bias_voltage_v"]
        core.latched = True
        await until(actor, State.TRIPPED)
        await actor.shutdown()
    assert core.bias_v == 0 and not core._cooling
    assert actor.cause == "shut down"


async def test_rearming_with_the_interlock_open_trips_again(bench: Bench) -> None:
    core, _, actor = await laser(bench)
    causes: list[StateChange] = []
    actor._on_event = causes.append
    async with running(actor):
        await until(actor, State.READY)
        core.set_interlock(True)
        await until(actor, State.TRIPPED)
        actor.rearm()
        await until(actor, State.SETTLING)
        await until(actor, State.TRIPPED)
        assert core.current_a == 0


async def test_shutdown_ramps_down_and_cools_last(bench: Bench) -> None:
    core, _, actor = await laser(bench)
    async with asyncio.TaskGroup() as group:
        group.create_task(actor.run())
        await until(actor, State.READY)
        assert core._tec_on
        await actor.shutdown()
    assert not core._laser_on and not core._tec_on and core._current_a == 0
    assert actor.state is State.DISCONNECTED


async def test_shutdown_puts_out_a_laser_that_waits_for_another_device(bench: Bench) -> None:
    oven, oven_wire = await bench.plug(lab.spdc())
    core = lab.itc()
    pump, pump_wire = await bench.plug(core, front="tcp")
    first = actor_for(oven, "crystal_oven", "s15-spdc", OVEN)
    second = actor_for(pump, "laser", "thorlabs-itc4000", LASER, after=[first])
    async with running(first), asyncio.TaskGroup() as group:
        group.create_task(second.run())
        await until(second, State.READY)
        await oven_wire.apply("cut")
        await until(first, State.DISCONNECTED)
        await pump_wire.apply("cut")
        await until(second, State.DISCONNECTED)
        await pump_wire.apply("restore")
        await eventually(lambda: second.cause == "waits for it")
        assert core.current_a > 0
        await second.shutdown()
    assert core.current_a == 0


async def test_shutdown_ends_a_change_that_is_under_way(bench: Bench) -> None:
    """Nothing lights the laser again after it was brought to rest."""
    core, _, actor = await laser(bench)
    async with asyncio.TaskGroup() as group:
        group.create_task(actor.run())
        await until(actor, State.READY)
        change = asyncio.ensure_future(actor.set(current_a=0.08, ramp_a_per_s=0.05))
        await eventually(lambda: 0.05 < core._current_a < 0.08)
        await actor.shutdown()
        with pytest.raises(DeviceNotReady, match="it is being brought to rest"):
            await change
        with pytest.raises(DeviceNotReady):
            await actor.set(current_a=0.06)
    assert not core._laser_on and not core._tec_on and core._current_a == 0


async def test_shutdown_of_a_dead_device_is_bounded(bench: Bench) -> None:
    _, wire, actor = await laser(bench)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(actor.run())
        await until(actor, State.READY)
        await wire.apply("silence")
        await actor.shutdown(timeout_s=0.3)


async def test_changed_set_points_are_applied_and_survive_a_cut(bench: Bench) -> None:
    core = lab.epc()
    address, wire = await bench.plug(core)
    actor = actor_for(address, "polarisation_controller", "oz-epc400", EPC)
    with pytest.raises(DeviceNotReady, match="waits"):
        await actor.set(voltages_mv=[1, 2, 3, 4])
    async with running(actor):
        await until(actor, State.READY)
        assert core.voltages_mv == (1, 2, 3, 4)
        await actor.set(voltages_mv=[5, 6, 7, 8])
        assert core.voltages_mv == (5, 6, 7, 8)
        with pytest.raises(ValueError, match="voltages_mv"):
            await actor.set(voltages_mv=[9000, 0, 0, 0])
        await wire.apply("cut")
        await until(actor, State.DISCONNECTED)
        core.lose_settings()
        await wire.apply("restore")
        await until(actor, State.READY)
        assert core.voltages_mv == (5, 6, 7, 8)


async def test_what_becomes_of_a_change_that_is_kept_is_told(bench: Bench) -> None:
    """It is applied, refused, or dropped at the end."""
    core = lab.itc()
    address, wire = await bench.plug(core, front="tcp")
    actor = actor_for(address, "laser", "thorlabs-itc4000", LASER)
    async with running(actor):
        await until(actor, State.READY)
        for wanted, fate in (({"current_a": 0.06}, "applied"), ({"current_limit_a": 50.0}, "ref")):
            await wire.apply("cut")
            await until(actor, State.DISCONNECTED)
            with pytest.raises(ChangeKept) as kept:
                await actor.set(**wanted)
            assert not kept.value.fate.done()
            await wire.apply("restore")
            assert (await kept.value.fate).startswith(fate)
            await until(actor, State.READY)
            assert core.current_a == 0.06
        await wire.apply("cut")
        await until(actor, State.DISCONNECTED)
        with pytest.raises(ChangeKept) as kept:
            await actor.set(current_a=0.05)
    assert kept.value.fate.result().startswith("dropped: ")


async def test_a_change_that_a_loss_interrupts_is_kept(bench: Bench) -> None:
    core, wire, actor = await laser(bench)
    async with running(actor):
        await until(actor, State.READY)
        change = asyncio.ensure_future(actor.set(current_a=0.08, ramp_a_per_s=0.05))
        await eventually(lambda: 0.05 < core._current_a < 0.08)
        await wire.apply("cut")
        with pytest.raises(ChangeKept) as kept:
            await change
        await wire.apply("restore")
        assert await kept.value.fate == "applied"
        assert core.current_a == pytest.approx(0.08)


async def test_what_a_device_refuses_is_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what its limits did not show."""
    core, _, actor = await laser(bench)
    async with running(actor):
        await until(actor, State.READY)

        async def boundless() -> dict[str, Limits]:
            return {}

        monkeypatch.setattr(actor.device, "limits", boundless)
        with pytest.raises(DeviceError, match="out of range"):
            await actor.set(current_limit_a=50.0)
        await eventually(lambda: not actor.differences)
        assert actor.state is State.READY
        assert core.current_a == LASER["current_a"]
        await actor.set(current_a=0.06)
        assert core.current_a == 0.06


async def test_a_rotator_is_not_asked_for_more_positions_than_it_has_axes(bench: Bench) -> None:
    address, _ = await bench.plug(lab.simulated("thorlabs-ell14"))
    plate = ("rotator", "thorlabs-ell14")
    with pytest.raises(ValueError, match="it: 2 positions_deg for 1 axes"):
        actor_for(address, *plate, {"positions_deg": [10.0, 20.0]})
    actor = actor_for(address, *plate, {"positions_deg": [10.0]})
    async with running(actor):
        await until(actor, State.READY)
        with pytest.raises(ValueError, match="it: 0 positions_deg for 1 axes"):
            await actor.set(positions_deg=[])
        assert actor.state is State.READY and actor.set_points.positions_deg == (10.0,)


async def test_a_device_waits_for_those_before_it(bench: Bench) -> None:
    oven, _ = await bench.plug(lab.spdc())
    pump, _ = await bench.plug(lab.itc(), front="tcp")
    first = actor_for(oven, "crystal_oven", "s15-spdc", OVEN)
    second = actor_for(pump, "laser", "thorlabs-itc4000", LASER, after=[first])
    async with running(second):
        await eventually(lambda: second.cause == "waits for it")
        async with running(first):
            await until(second, State.READY)
            assert first.state is State.READY


async def test_a_pair_source_warms_its_crystal_before_it_pumps(bench: Bench) -> None:
    core = lab.simulated("qubitekk-qes")
    address, _ = await bench.plug(core)
    wanted = SOURCE | {"temperature_c": 45.0}
    actor = actor_for(address, "pair_source", "qubitekk-qes", wanted)
    lit_at: list[float] = []
    async with running(actor):
        while actor.state is not State.READY:
            if core.current_a > 0 and not lit_at:
                lit_at.append(core.crystal_c)
            await asyncio.sleep(0.001)
        assert lit_at and abs(lit_at[0] - 45) < 0.6
        core.warm_by(500)
        await until(actor, State.TRIPPED)
        assert "temperature control" in actor.cause
        await eventually(lambda: abs(core.crystal_c - 45) < 0.5)
        assert actor.state is State.TRIPPED and core.current_a == 0
        actor.rearm()
        await until(actor, State.READY)
        assert core.current_a == pytest.approx(0.06)


async def test_a_whole_source_board_warms_both_lights_last_and_rests_dark(bench: Bench) -> None:
    """And a loop that goes off under the light trips it; it lights again by the operator's word."""
    core = lab.simulated("s15-spdc-source")
    address, _ = await bench.plug(core)
    actor = actor_for(address, "pair_source", "s15-spdc-source", BOARD)
    lit_at: list[tuple[float, float]] = []
    async with running(actor):
        while actor.state is not State.READY:
            if core.current_a > 0:
                lit_at.append((core.crystal_c, core.diode_c))
            await asyncio.sleep(0.001)
        assert lit_at and lit_at[0] == (pytest.approx(40, abs=0.6), pytest.approx(25, abs=0.6))
        assert core._now.heater_rate == 1.0 and core._now.laser_limit_ma == pytest.approx(80)
        await eventually(lambda: "diode_temperature_c" in actor.readings)
        await actor.set(current_a=0.004, current_limit_a=0.005)
        assert core.current_a == pytest.approx(0.004)
        core.receive(b"ploop 0;")
        await until(actor, State.TRIPPED)
        await eventually(lambda: core.current_a == 0)
        assert "temperature control" in actor.cause and core._now.power == 1
        core.receive(b"ploop 1;")
        polled = actor.readings
        await eventually(lambda: actor.readings["temperature_c"] != polled["temperature_c"])
        assert actor.state is State.TRIPPED and core.current_a == 0
        actor.rearm()
        await until(actor, State.READY)
        assert core.current_a == pytest.approx(0.004)
        await actor.shutdown()
        assert core.current_a == 0 and core._now.power == 0 and not core._now.heater_loop


async def test_a_wrong_serial_number_is_named(bench: Bench) -> None:
    address, _ = await bench.plug(lab.spd())
    config = Device(
        name="it",
        kind="detector",
        model="s15-spd",
        address=address,
        serial_number="OTHER",
        set_points=DETECTOR,
    )
    actor = DeviceActor(config, reconnect_s=(0.02, 0.02))
    async with running(actor):
        await eventually(lambda: "SPD-7" in actor.cause and "OTHER" in actor.cause)

"""A source that went out stays out until the operator re-arms it, whoever saw it go."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from actors import CASES, actor_for, running, until
from bench import Bench, eventually

from qkd_controller.devices import ChangeKept, DeviceActor, Latch, State
from qkd_controller.devices.kinds import LIGHT_KINDS
from qkd_drivers.framing import Wire
from qkd_firmware_sim.cores.qes import Qes

SOURCES = [case for case in CASES if case[0] in LIGHT_KINDS and case[3] != "hislip"]
Case = tuple[str, str, Any, str, dict[str, Any], Any]


def tried_on(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case[1] for case in cases])


every_source = tried_on(SOURCES)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)


def protect(core: Any) -> None:
    """A protection puts the light out, or a hand where the box has none."""
    if hasattr(core, "set_interlock"):
        core.set_interlock(True)
    elif isinstance(core, Qes):
        core.warm_by(500)
    else:
        core.receive(b"off;")
    assert core.current_a == 0


async def release(core: Any) -> None:
    """Its cause is gone."""
    if hasattr(core, "set_interlock"):
        core.set_interlock(False)
    elif isinstance(core, Qes):
        await eventually(lambda: abs(core.crystal_c - 25) < 0.2)


async def assert_stays_dark(actor: DeviceActor, core: Any) -> None:
    """Over three polls of a device that is safe."""
    for _ in range(3):
        before = actor.readings
        await eventually(lambda before=before: actor.readings != before)  # type: ignore[misc]
        assert actor.state is State.TRIPPED and core.current_a == 0


def test_a_model_of_each_maker_is_tried() -> None:
    assert {case[1] for case in SOURCES} >= {
        "thorlabs-itc4000",
        "srs-ldc500",
        "cobolt-06",
        "coherent-obis",
        "qubitekk-qes",
        "s15-spdc-source",
    }


@every_source
@pytest.mark.parametrize("how", ["protection", "power cycle"])
async def test_a_source_that_went_out_unseen_stays_out(
    bench: Bench,
    how: str,
    case: Case,
) -> None:
    kind, model, make, front, set_points, there = case
    core = make()
    address, wire = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points)
    async with running(actor):
        await until(actor, State.READY)
        await wire.apply("cut")
        await until(actor, State.DISCONNECTED)
        if how == "protection":
            protect(core)
            await release(core)
        else:
            core.power_cycle()
        await wire.apply("restore")
        await until(actor, State.TRIPPED)
        assert actor.cause
        await assert_stays_dark(actor, core)
        actor.rearm()
        await until(actor, State.READY)
        assert there(core)


@every_source
async def test_a_trip_is_remembered_over_a_restart(
    bench: Bench,
    tmp_path: Path,
    case: Case,
) -> None:
    kind, model, make, front, set_points, there = case
    core, path = make(), tmp_path / "latch.json"
    address, _ = await bench.plug(core, front=front)

    def restarted() -> DeviceActor:
        return actor_for(address, kind, model, set_points, latch=Latch(path))

    first = restarted()
    async with asyncio.TaskGroup() as group:
        group.create_task(first.run())
        await until(first, State.READY)
        protect(core)
        await until(first, State.TRIPPED)
        cause = first.cause
        await first.shutdown()
    await release(core)
    second = restarted()
    async with running(second):
        await until(second, State.TRIPPED)
        await assert_stays_dark(second, core)
        assert second.cause == cause
        second.rearm()
        await until(second, State.READY)
        assert there(core)
        await second.shutdown()
    third = restarted()
    async with running(third):
        await until(third, State.READY)
        assert there(core)


@every_source
async def test_a_source_that_went_out_while_the_node_was_dead_stays_out(
    bench: Bench,
    tmp_path: Path,
    case: Case,
) -> None:
    kind, model, make, front, set_points, there = case
    core, path = make(), tmp_path / "latch.json"
    address, _ = await bench.plug(core, front=front)
    for _ in range(2):  # what is found as it was left is taken over
        actor = actor_for(address, kind, model, set_points, latch=Latch(path))
        async with running(actor):
            await until(actor, State.READY)
        assert there(core), "a cancelled actor leaves the device as it is"
    protect(core)
    await release(core)
    actor = actor_for(address, kind, model, set_points, latch=Latch(path))
    async with running(actor):
        await until(actor, State.TRIPPED)
        await assert_stays_dark(actor, core)


@every_source
async def test_light_that_cannot_be_remembered_is_put_out(
    bench: Bench,
    tmp_path: Path,
    case: Case,
) -> None:
    """It was lit by another node, and the disk of this one is full."""
    kind, model, make, front, set_points, there = case
    core = make()
    address, _ = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points)
    async with running(actor):
        await until(actor, State.READY)
    assert there(core)
    (tmp_path / "it.new").mkdir()  # where the file is written first
    latch = Latch(tmp_path / "it.json")
    actor = actor_for(address, kind, model, set_points, latch=latch)
    async with running(actor):
        await eventually(lambda: core.current_a == 0)
        await eventually(lambda: "cannot be written" in actor.cause)


LATCHING = [case for case in SOURCES if case[1] in ("thorlabs-itc4000", "cobolt-06")]


@tried_on(LATCHING)
async def test_a_word_given_before_a_protection_acted_does_not_cover_it(
    bench: Bench, case: Case
) -> None:
    """The wire is away when the operator re-arms; then the interlock opens and closes."""
    kind, model, make, front, set_points, there = case
    core = make()
    address, wire = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points)
    async with running(actor):
        await until(actor, State.READY)
        protect(core)
        await until(actor, State.TRIPPED)
        await wire.apply("cut")
        await eventually(lambda: "meanwhile" in actor.cause)
        actor.rearm()
        await eventually(lambda: actor.state is State.DISCONNECTED and actor.cause != "re-armed")
        await release(core)
        protect(core)
        await release(core)
        await wire.apply("restore")
        await until(actor, State.TRIPPED)
        await assert_stays_dark(actor, core)
        actor.rearm()
        await until(actor, State.READY)
        assert there(core)


COOLED = [case for case in SOURCES if case[1] in ("thorlabs-itc4000", "s15-spdc-source")]


@tried_on(COOLED)
async def test_a_source_found_lit_without_its_cooling_is_put_out(bench: Bench, case: Case) -> None:
    kind, model, make, front, set_points, _ = case
    core = make()
    address, wire = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points)
    async with running(actor):
        await until(actor, State.READY)
        await wire.apply("cut")
        await until(actor, State.DISCONNECTED)
        if model == "thorlabs-itc4000":
            core._tec_on = False
        else:
            core.receive(b"ploop 0;")
        assert core.current_a
        await wire.apply("restore")
        await until(actor, State.TRIPPED)
        assert "temperature control" in actor.cause
        await assert_stays_dark(actor, core)


THERMAL = [case for case in SOURCES if "settle_s" in case[4]]
every_thermal_source = tried_on(THERMAL)


@every_thermal_source
async def test_a_temperature_that_does_not_settle_puts_the_light_out(
    bench: Bench, case: Case
) -> None:
    kind, model, make, front, set_points, _ = case
    core = make()
    address, _ = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points | {"settle_timeout_s": 0.3})
    async with running(actor):
        await until(actor, State.READY)
        core.regulated.stalled = True
        core.warm_by(8)
        await until(actor, State.TRIPPED)
        assert "does not settle" in actor.cause
        await assert_stays_dark(actor, core)


@every_thermal_source
async def test_a_dark_source_waits_for_its_temperature_and_does_not_trip(
    bench: Bench, case: Case
) -> None:
    kind, model, make, front, set_points, _ = case
    core = make()
    core.regulated.stalled = True
    core.warm_by(8)
    address, _ = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points | {"settle_timeout_s": 0.3})
    async with running(actor):
        for _ in range(2):
            await until(actor, State.SETTLING)
            await until(actor, State.DISCONNECTED)
            assert "does not settle" in actor.cause and core.current_a == 0
        core.regulated.stalled = False
        await until(actor, State.READY)


@every_thermal_source
async def test_an_operators_temperature_that_does_not_settle_trips_too(
    bench: Bench, case: Case
) -> None:
    kind, model, make, front, set_points, _ = case
    core = make()
    address, _ = await bench.plug(core, front=front)
    actor = actor_for(address, kind, model, set_points | {"settle_timeout_s": 0.3})
    async with running(actor):
        await until(actor, State.READY)
        core.regulated.stalled = True
        with pytest.raises(ChangeKept, match="does not settle"):
            await actor.set(temperature_c=35.0)
        await until(actor, State.TRIPPED)
        await assert_stays_dark(actor, core)

"""A device comes back by itself from every fault of its wire, at its set-points."""

import asyncio
import re
from contextlib import aclosing
from typing import Any

import bench as lab
import numpy as np
import pytest
from actors import CASES, actor_for, running, until
from bench import Bench, eventually
from levels import assert_levels_off
from relatives import another

from qkd_controller.devices import RunEnded, RunStarted, State, StateChange, TaggerActor
from qkd_controller.devices.kinds import LIGHT_KINDS
from qkd_drivers.contract import Tags
from qkd_drivers.framing import Wire
from qkd_drivers.models import idq_id900_run
from qkd_firmware_sim.frontends.faults import FAULTS

OPTIONS: dict[str, dict[str, Any]] = {
    "delay": {"delay_s": 0.4},
    "idle": {"delay_s": 0.005},
    "glue": {"delay_s": 0.02},
    "split": {"size": 3, "delay_s": 0.002},
    "unsolicited": {"text": "42.0"},
    "complain": {"text": "overheated"},
    "terminator": {"text": ";"},
}
GOES = {"busy", "cut", "slam", "silence"}
"""After these the device is not ready until they end, whatever the model."""

Case = tuple[str, str, Any, str, dict[str, Any], Any]
Row = tuple[str, Case]


def rows(cases: list[Case]) -> list[Any]:
    """Every fault that the wire of each case can show; the wire of a tagger is its stream's."""
    return [
        pytest.param(fault, case, id=f"{fault}-{case[1]}-{case[3]}")
        for case in cases
        for fault, about in FAULTS.items()
        if case[3] in about.fronts and fault != "restore" and case[0] != "tagger"
    ]


def representative(case: Case) -> bool:
    """One model for each front-end."""
    return (case[1], case[3]) in {
        ("s15-spd", "pty"),
        ("jdsu-ha9", "tcp"),
        ("idq-id120", "hislip"),
        ("single-quantum-websq", "two-tcp"),
    }


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.2)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # PyVISA-py drops its sockets unclosed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("fault", "case"), rows([c for c in CASES if representative(c)]))
async def test_a_device_comes_back_from_a_fault(bench: Bench, fault: str, case: Case) -> None:
    """Of one model for each kind of wire."""
    await fail_and_mend(bench, fault, case)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("fault", "case"), rows([c for c in CASES if not representative(c)]))
async def test_every_kind_comes_back_from_a_fault(bench: Bench, fault: str, case: Case) -> None:
    """Of a model of every kind of instrument."""
    await fail_and_mend(bench, fault, case)


async def fail_and_mend(bench: Bench, fault: str, case: Case) -> None:
    """The device also loses its settings under the fault, so that being back means driven back.

    Not one that emits light: once out, it stays out until it is re-armed.
    """
    kind, model, make, front, set_points, there = case
    core = make()
    address, wire = await bench.plug(core, front=front)
    changes: list[StateChange] = []
    actor = actor_for(address, kind, model, set_points, on_event=changes.append)
    assert not isinstance(actor, TaggerActor)
    async with running(actor):
        await until(actor, State.READY)
        assert there(core)
        await wire.apply(fault, **OPTIONS.get(fault, {}))
        if fault in GOES:
            await eventually(lambda: actor.state is not State.READY)
            assert actor.cause
        if kind not in LIGHT_KINDS:
            core.lose_settings()
        await wire.apply("restore")
        await eventually(lambda: actor.state is State.READY and there(core), within_s=20)
        await eventually(lambda: not actor.differences)
        assert actor.state is State.READY
    assert not any(change.state is State.TRIPPED for change in changes), "a wire trips nothing"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}-{case[3]}")
async def test_another_instrument_in_its_place_is_refused_until_the_right_one_is_back(
    bench: Bench, case: Case
) -> None:
    """By its name, where it has one, and nothing is set on it."""
    kind, model, make, front, set_points, there = case
    core = make()
    address, _ = await bench.plug(core, front=front)
    changes: list[StateChange] = []
    actor = actor_for(address, kind, model, set_points, on_event=changes.append)
    async with running(actor):
        await until(actor, State.READY)
        stranger, name = another(model)
        await bench.swap(address, stranger)
        if isinstance(actor, TaggerActor):
            actor.report_fault("its wire was cut")  # as the stream does, which owns the wire
        await eventually(
            lambda: any(
                change.state is State.DISCONNECTED and re.search(name, change.cause)
                for change in changes
            )
        )
        assert not getattr(stranger, "current_a", 0)
        await bench.swap(address, core)
        await eventually(lambda: actor.state is State.READY and there(core))
    assert [change.state for change in changes].count(State.READY) == 2
    assert not any(change.state is State.TRIPPED for change in changes)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", [c for c in CASES if representative(c)], ids=lambda c: c[3])
async def test_lost_connections_leave_nothing_behind(bench: Bench, case: Case) -> None:
    kind, model, make, front, set_points, _ = case
    address, wire = await bench.plug(make(), front=front)
    actor = actor_for(address, kind, model, set_points)
    async with running(actor):
        await until(actor, State.READY)

        async def lose() -> None:
            await wire.apply("cut")
            await eventually(lambda: actor.state is not State.READY)
            await wire.apply("restore")
            await eventually(lambda: actor.state is State.READY)

        await assert_levels_off(lose, steps=60)


PERIOD_PS = 20_000_000
"""Of the pulses that the time controller sees."""


@pytest.mark.parametrize("fault", [name for name in FAULTS if "zmtp" in FAULTS[name].fronts])
async def test_a_time_controller_comes_back_from_a_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It loses its settings too. What its runs say is clean holds every pulse at its time."""
    monkeypatch.setattr(idq_id900_run, "_SILENCE_S", 0.3)
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)
    core = lab.id900()
    bench.rate_cps[core] = 1e12 / PERIOD_PS
    address, wire = await bench.plug(core, front="zmtp")
    actor = actor_for(address, "tagger", "idq-id900", {"level": "-0.3"})
    assert isinstance(actor, TaggerActor)
    clean_runs = 0

    async def consume() -> None:
        nonlocal clean_runs
        steps: list[int] = []
        async with aclosing(actor.stream(0.2)) as stream:
            async for event in stream:
                match event:
                    case RunStarted():
                        steps = []
                    case Tags():
                        steps += np.unique(np.diff(event.times_ps)).tolist()
                    case RunEnded(clean=True):
                        assert set(steps) == {PERIOD_PS}
                        clean_runs += 1

    async def clean_run() -> None:
        before = clean_runs
        await eventually(lambda: clean_runs > before, within_s=30)

    async with running(actor), asyncio.TaskGroup() as group:
        consumer = group.create_task(consume())
        await clean_run()
        await wire.apply(fault, **OPTIONS.get(fault, {}))
        if fault in GOES:
            await eventually(lambda: actor.state is not State.READY)
        core.lose_settings()
        await wire.apply("restore")
        await eventually(
            lambda: {block.threshold_v for block in core._inputs.values()} == {-0.3}, within_s=30
        )
        await clean_run()
        consumer.cancel()

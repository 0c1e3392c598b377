"""Firmware revisions that speak otherwise: a device copes with them, or says that it cannot."""

import re
from typing import Any

import bench as lab
import pytest
from actors import CASES, actor_for, running, until
from bench import Bench, eventually

from qkd_controller.devices import State, StateChange, TaggerActor
from qkd_controller.devices.kinds import LIGHT_KINDS
from qkd_drivers.catalogue import open_device
from qkd_drivers.framing import Wire
from qkd_firmware_sim.registry import SIMULATED

REFUSED = {
    ("coherent-obis", "no-handshake"): r"answers b'ERR-100.*check .* the firmware",
    ("single-quantum-websq", "json-rpc"): r"answers b'HTTP/1.1.*check .* the firmware",
}
"""What the driver says of a revision that it does not speak."""
ROWS = [
    pytest.param(case, revision, id=f"{case[1]}-{case[3]}-{revision}")
    for case in CASES
    for revision in getattr(case[2](), "revisions", ())
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)


def test_every_model_with_revisions_is_tried() -> None:
    tried = {case[1] for case in CASES} | {"idq-id900"}
    assert tried >= {model for model in SIMULATED if hasattr(lab.simulated(model), "revisions")}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # PyVISA-py drops its sockets unclosed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("case", "revision"), ROWS)
async def test_a_box_that_comes_back_with_another_firmware_is_driven_or_refused(
    bench: Bench, case: Any, revision: str
) -> None:
    """And taken back with its own."""
    kind, model, make, front, set_points, there = case
    core = make()
    address, wire = await bench.plug(core, front=front)
    changes: list[StateChange] = []
    actor = actor_for(address, kind, model, set_points, on_event=changes.append)
    assert not isinstance(actor, TaggerActor)
    refused = REFUSED.get((model, revision))

    async def flash(new: str) -> None:
        await wire.apply("cut")
        await eventually(lambda: actor.state is not State.READY)
        core.lose_settings()
        core.revision = new
        changes.clear()
        await wire.apply("restore")

    async def back() -> None:
        if kind in LIGHT_KINDS:  # it went out unseen
            await until(actor, State.TRIPPED)
            actor.rearm()
        await eventually(lambda: actor.state is State.READY and there(core))

    async with running(actor):
        await until(actor, State.READY)
        await flash(revision)
        if refused:
            await eventually(lambda: any(re.search(refused, each.cause) for each in changes))
            assert State.READY not in [each.state for each in changes]
        else:
            await back()
            assert State.DISCONNECTED not in [each.state for each in changes[1:]]
        await flash("")
        await back()


async def test_a_time_controller_may_answer_settings_by_ok(bench: Bench) -> None:
    core = lab.id900()
    core.revision = "ok"
    address, _ = await bench.plug(core, front="zmtp")
    device: Any = await open_device("idq-id900", address, "tagger")
    await device.configure(level="-0.3")
    assert {block.threshold_v for block in core._inputs.values()} == {-0.3}
    await device.close()

"""What every driver of a frequency standard does."""

import asyncio
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import driver_on
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import FrequencyReference
from qkd_drivers.errors import DeviceError
from qkd_drivers.framing import Wire

MODELS = ["srs-fs725"]
every_reference = pytest.mark.parametrize("model", MODELS)


async def reference_on(bench: Bench, model: str) -> tuple[Any, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core)
    device = await open_device(model, address, "clock")
    assert isinstance(device, FrequencyReference)
    return device, core


@every_reference
async def test_it_locks_and_follows_the_pulse_if_told_to(bench: Bench, model: str) -> None:
    clock, core = await reference_on(bench, model)
    assert not await clock.locked()
    await lab.eventually(lambda: core.locked)
    assert await clock.locked()
    for on in (False, True):
        await clock.set_discipline(on)
        assert await clock.discipline() == on == core.disciplined
    core.warm_by(5)
    assert not await clock.locked()
    await clock.close()


@agreement(*MODELS)
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("discipline"), st.booleans()),
            st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 3.0])),
            st.tuples(st.sampled_from(["power cycle", "warm", "reconnect"]), st.none()),
        ),
        max_size=12,
    )
)
def test_the_view_of_a_reference_is_its_state(model: str, steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        clock = driver_on(model, core)
        await clock.connect()
        for what, value in steps:
            match what:
                case "discipline":
                    await clock.set_discipline(value)
                    assert await clock.discipline() == value
                case "wait":
                    core.advance(core.now_ps + round(value * 1e12))
                case "power cycle":
                    core.power_cycle()
                case "warm":
                    core.warm_by(20)
                case "reconnect":
                    await clock.close()
                    await clock.connect()
            locked = await clock.locked()
            assert locked == core.locked
            assert (locked and await clock.discipline()) == core.disciplined
        await clock.close()

    asyncio.run(play())


async def test_the_identity_sent_at_power_on_answers_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)
    core = lab.simulated("srs-fs725")
    address, wire = await bench.plug(core)
    clock: Any = await open_device("srs-fs725", address, "clock")
    # While an answer is waited for, the box starts anew: the answer is lost, its name comes.
    await wire.apply("silence")
    heard, asked = core.answer, asyncio.Event()
    core.answer = lambda line: asked.set() or heard(line)
    asking = asyncio.create_task(clock.discipline())
    await asked.wait()
    await wire.apply("restore")
    core.power_cycle()
    with pytest.raises(DeviceError, match="clock"):
        await asking
    # Its name arrives right before an answer.
    core.answer = lambda line: f"PRS_10_3.24_SN_1\r{heard(line)}" if line == "PL?" else heard(line)
    assert await clock.discipline() and clock.restarts == 1
    await clock.set_discipline(False)
    assert not await clock.discipline()
    await clock.close()


async def test_status_bits_are_read_once(bench: Bench) -> None:
    clock, core = await reference_on(bench, "srs-fs725")
    await lab.eventually(lambda: core.locked)
    core.answer("XX")
    assert int((await clock.readings())["status_6"].value) & 0x20
    assert (await clock.readings())["status_6"].value == 0
    assert (await clock.readings())["case_c"].value == pytest.approx(45.1)
    await clock.close()

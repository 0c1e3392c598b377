"""APT motors: what comes unasked is never an answer, and no motor is left without its order."""

import asyncio
import struct
from itertools import pairwise
from typing import Any

import bench as lab
import pytest
from bench import Bench, eventually

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.errors import DeviceRefused
from qkd_drivers.framing import TraceEntry, Wire
from qkd_drivers.framing.apt import Message
from qkd_drivers.models import apt_rotator

MODELS = pytest.mark.parametrize("model", ["thorlabs-k10cr1", "thorlabs-mpc320"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.4)


async def motor_on(bench: Bench, model: str, **options: Any) -> tuple[Any, Any, list[TraceEntry]]:
    trace: list[TraceEntry] = []
    core = lab.simulated(model)
    address, _ = await bench.plug(core)
    return await open_device(model, address, "motor", trace.append), core, trace


@MODELS
async def test_messages_between_a_question_and_its_reply_are_dispatched(
    bench: Bench, model: str
) -> None:
    device, core, _ = await motor_on(bench, model)
    seen: list[Message] = []
    device._wire.on_unasked = seen.append
    receive = core.receive
    stray = struct.pack("<HiHHI", 2, 4711, 0, 0, 0)

    def chatty(data: bytes) -> None:
        core._send(0x0464, stray)  # another axis has arrived
        core._send_short(0x0444, 2)
        receive(data)

    core.receive = chatty
    assert await device.position_deg(1) == 0
    assert [message.id for message in seen] == [0x0464, 0x0444]
    assert {message.channel for message in seen} == {2}
    await device.close()


@MODELS
async def test_a_message_torn_between_two_questions_is_put_together(
    bench: Bench, model: str
) -> None:
    device, core, _ = await motor_on(bench, model)
    seen: list[Message] = []
    device._wire.on_unasked = seen.append
    core._send(0x0464, struct.pack("<HiHHI", 1, 4711, 0, 0, 0))
    whole = core.take(100)
    transport = device._wire.transport
    transport._feed(whole[:9])
    asyncio.get_running_loop().call_later(0.02, transport._feed, whole[9:])
    assert await device.position_deg(1) == 0
    assert [(message.id, message.channel) for message in seen] == [(0x0464, 1)]
    await device.close()


@MODELS
async def test_running_updates_do_no_harm(bench: Bench, model: str) -> None:
    device, core, _ = await motor_on(bench, model)
    core.receive(bytes.fromhex("110000005001"))
    await device.home(1)
    await device.move_to_deg(1, 60.0)
    for _ in range(10):
        assert await device.position_deg(1) == pytest.approx(60, abs=0.2)
        await asyncio.sleep(0.03)
    await device.close()


@MODELS
async def test_a_move_that_is_given_up_is_stopped(bench: Bench, model: str) -> None:
    device, core, _ = await motor_on(bench, model)
    core._speed = 0.1
    moving = asyncio.create_task(device.move_to_deg(1, 170.0))
    await eventually(lambda: core.angles_deg[0] > 0)
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    await eventually(lambda: not core.busy)
    assert 0 < core.angles_deg[0] < 170
    assert await device.position_deg(1) == pytest.approx(core.angles_deg[0], abs=0.2)
    await device.close()


@MODELS
async def test_a_motor_that_stands_still_is_told(
    bench: Bench, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt_rotator, "STALLED_S", 0.1)
    device, core, _ = await motor_on(bench, model)
    core.latched = True
    with pytest.raises(DeviceRefused, match=r"motor: channel 1 stands still at 0.00°"):
        await device.move_to_deg(1, 50.0)
    core.latched = False
    await device.move_to_deg(1, 50.0)
    await device.close()


async def test_moving_one_paddle_leaves_the_others_enabled(bench: Bench) -> None:
    device, core, _ = await motor_on(bench, "thorlabs-mpc320")
    await asyncio.gather(*(device.move_to_deg(axis, 20.0 * axis) for axis in (1, 2, 3)))
    assert core.angles_deg == pytest.approx((20, 40, 60), abs=0.2)
    assert all(motor.enabled for motor in core.motors.values())
    await device.close()


async def test_the_paddles_are_never_asked_faster_than_they_bear(bench: Bench) -> None:
    device, _, trace = await motor_on(bench, "thorlabs-mpc320")
    await asyncio.gather(*(device.readings() for _ in range(5)))
    sent = [entry.monotonic_s for entry in trace if entry.direction == ">"]
    assert len(sent) > 15
    assert min(b - a for a, b in pairwise(sent)) >= 0.009
    await device.close()


@MODELS
def test_the_port_runs_with_handshake_unless_told_otherwise(model: str) -> None:
    for option, rtscts in (("", True), ("?flow=none", False), ("?baud=115200&flow=rtscts", True)):
        device: Any = make_device(model, f"serial:/dev/x{option}", "motor")
        assert device._wire.transport._rtscts is rtscts

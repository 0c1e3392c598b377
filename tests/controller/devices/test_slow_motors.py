"""A motor may take 40 s to find its home: whoever waits for it holds on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import virtual_time
from actors import CASES, actor_for, running
from direct import DirectTransport

from qkd_controller.devices import DeviceActor, State, StateChange
from qkd_drivers.contract import Attenuator
from qkd_firmware_sim.cores.apt import AptCore
from qkd_firmware_sim.cores.ell14 import COUNTS_PER_TURN, Ell14Bus

HOME_S = 40.0
_PROBE = 100.0
_TICK_S = 0.005
MOTORS = [case for case in CASES if case[0] == "rotator" or case[1] == "oz-dd100"]


class _Timed(DirectTransport):
    """Leaves it to the clock to move the core; other seats of a bus are empty."""

    async def write(self, data: bytes, *, timeout_s: float = 2.0) -> None:
        self._check()
        self._session.receive(data)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        yield


def displace(core: Any) -> None:
    """Moves every axis away from its home by hand, while nobody counts."""
    match core:
        case Ell14Bus():
            for mount in core.mounts.values():
                mount.origin = COUNTS_PER_TURN // 2
        case AptCore():
            for motor in core.motors.values():
                motor.origin = 90 * core.counts_per_deg


@asynccontextmanager
async def ticking(core: Any, clock: Callable[[], float]) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            core.advance(round(clock() * 1e12))
            await asyncio.sleep(_TICK_S)

    async with asyncio.TaskGroup() as group:
        ticks = group.create_task(tick())
        yield
        ticks.cancel()


def actor_on(core: Any, case: Any, **options: Any) -> DeviceActor:
    kind, model, _, _, set_points, _ = case
    actor = actor_for("serial:direct", kind, model, set_points, **options)
    wire: Any = actor.device._wire  # type: ignore[attr-defined]
    wire.transport = wire._bus = _Timed(core)
    return actor


async def home(device: Any) -> None:
    if isinstance(device, Attenuator):
        await device.set_attenuation_db((await device.limits())["attenuation_db"].minimum)
    else:
        await device.home(1)


def home_s(case: Any, slowness: float) -> float:
    """How long the way home takes for the driver."""

    async def play(clock: Callable[[], float]) -> float:
        core = case[2]()
        displace(core)
        core.slowness = slowness
        device = actor_on(core, case).device
        async with ticking(core, clock):
            await device.connect()
            begun_s = clock()
            await home(device)
            took_s = clock() - begun_s
            await device.close()
        return took_s

    return virtual_time.run(play)


@pytest.mark.parametrize("case", MOTORS, ids=lambda case: case[1])
def test_a_home_that_takes_40_s_is_waited_for(case: Any) -> None:
    """By the driver, and by the actor, for which the device settles all the while."""
    once_s, twice_s = home_s(case, _PROBE), home_s(case, 2 * _PROBE)
    slowness = _PROBE * HOME_S / (twice_s - once_s)
    assert home_s(case, slowness) == pytest.approx(HOME_S, rel=0.2)

    async def play(clock: Callable[[], float]) -> list[StateChange]:
        core = case[2]()
        displace(core)
        core.slowness = slowness
        changes: list[StateChange] = []
        actor = actor_on(core, case, on_event=changes.append)
        async with ticking(core, clock), running(actor):
            await actor.until(State.READY)
            assert clock() > HOME_S and case[5](core)
        return changes

    states = [change.state for change in virtual_time.run(play)]
    assert states == [State.CONNECTING, State.SETTLING, State.READY, State.DISCONNECTED]

"""What every driver of a rotator does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bench as lab
import pytest
from agreement import agreement
from bench import Bench
from direct import DirectTransport, run
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Rotator
from qkd_drivers.models import thorlabs_ell14

MODELS = ["thorlabs-ell14", "thorlabs-k10cr1", "thorlabs-mpc320"]
TOLERANCE_DEG = 0.2
every_rotator = pytest.mark.parametrize("model", MODELS)


async def rotator_on(bench: Bench, model: str) -> tuple[Rotator, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core)
    device = await open_device(model, address, "plate")
    assert isinstance(device, Rotator)
    return device, core


@every_rotator
async def test_a_rotator_homes_and_stands_where_it_is_sent(bench: Bench, model: str) -> None:
    rotator, core = await rotator_on(bench, model)
    assert not await rotator.homed(1)
    for axis in range(1, rotator.axis_count + 1):
        await rotator.home(axis)
        assert await rotator.homed(axis)
        await rotator.move_to_deg(axis, 30.0 * axis)
        assert await rotator.position_deg(axis) == pytest.approx(30 * axis, abs=TOLERANCE_DEG)
        assert core.angles_deg[axis - 1] == pytest.approx(30 * axis, abs=TOLERANCE_DEG)
    assert all(reading.unit == "°" for reading in (await rotator.readings()).values())
    await rotator.close()


@every_rotator
async def test_an_angle_or_axis_out_of_range_moves_nothing(bench: Bench, model: str) -> None:
    rotator, core = await rotator_on(bench, model)
    limits = (await rotator.limits())["position_deg"]
    for axis, degrees, told in (
        (1, limits.maximum + 1, "position_deg"),
        (1, limits.minimum - 1, "position_deg"),
        (rotator.axis_count + 1, 10.0, "axis"),
        (0, 10.0, "axis"),
    ):
        with pytest.raises(ValueError, match=told):
            await rotator.move_to_deg(axis, degrees)
    assert set(core.angles_deg) == {0.0}
    await rotator.close()


@every_rotator
async def test_a_power_cycle_takes_the_zero_with_it(bench: Bench, model: str) -> None:
    rotator, core = await rotator_on(bench, model)
    await rotator.home(1)
    await rotator.move_to_deg(1, 45.0)
    core.power_cycle()
    await rotator.close()
    await rotator.connect()
    assert not await rotator.homed(1)
    assert await rotator.position_deg(1) == 0 != core.angles_deg[0]
    await rotator.home(1)
    assert core.angles_deg[0] == pytest.approx(0, abs=TOLERANCE_DEG)
    await rotator.close()


class _Direct(DirectTransport):
    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        yield


@agreement(*MODELS)
@given(
    moves=st.lists(
        st.tuples(st.integers(1, 3), st.one_of(st.none(), st.floats(0, 170))), max_size=8
    )
)
@settings(max_examples=15, deadline=None)
def test_the_driver_and_the_core_agree_on_every_angle(
    model: str, moves: list[tuple[int, float | None]]
) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        device: Any = make_device(model, "serial:direct", "it")
        device._wire.transport = device._wire._bus = _Direct(core)
        await device.connect()
        for number, degrees in moves:
            axis = (number - 1) % device.axis_count + 1
            run(core, 0.1)
            if degrees is None:
                await device.home(axis)
            else:
                await device.move_to_deg(axis, degrees)
            wanted = degrees or 0.0
            assert await device.position_deg(axis) == pytest.approx(wanted, abs=TOLERANCE_DEG)
            assert core.angles_deg[axis - 1] == pytest.approx(wanted, abs=TOLERANCE_DEG)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thorlabs_ell14, "PAUSE_BETWEEN_MOVES_S", 0.0)
        asyncio.run(play())

"""What every driver of a pulse generator does.

A core tells by ``output(channel)`` the width and delay in s and the amplitude in V of a channel
that pulses, None of one that does not, and by ``period_s`` its period.
"""

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
from qkd_drivers.contract import PulseGenerator

MODELS = [
    ("qc-9530", "pty"),
    ("qc-9530", "tcp"),
    ("keysight-33500", "tcp"),
    ("keysight-33500", "hislip"),
]
every_generator = pytest.mark.parametrize(("model", "front"), MODELS)


async def generator_on(bench: Bench, model: str, front: str) -> tuple[PulseGenerator, Any]:
    core = lab.simulated(model)
    address, _ = await bench.plug(core, front=front)
    device = await open_device(model, address, "pulser")
    assert isinstance(device, PulseGenerator)
    return device, core


@every_generator
async def test_a_pulse_is_as_it_was_asked_for(bench: Bench, model: str, front: str) -> None:
    pulser, core = await generator_on(bench, model, front)
    await pulser.set_period_s(1e-6)
    await pulser.set_width_s(1, 30e-9)
    await pulser.set_delay_s(1, 120e-9)
    await pulser.set_amplitude_v(1, 3.3)
    assert not await pulser.output(1) and core.output(1) is None
    await pulser.set_output(1, True)
    assert await pulser.output(1)
    assert core.output(1) == pytest.approx((30e-9, 120e-9, 3.3))
    assert await pulser.period_s() == pytest.approx(1e-6) == core.period_s
    assert await pulser.width_s(1) == pytest.approx(30e-9)
    assert await pulser.delay_s(1) == pytest.approx(120e-9)
    assert await pulser.amplitude_v(1) == pytest.approx(3.3)
    await pulser.set_output(1, False)
    assert not await pulser.output(1) and core.output(1) is None
    await pulser.close()


@every_generator
async def test_what_is_out_of_range_is_not_sent(bench: Bench, model: str, front: str) -> None:
    pulser, _ = await generator_on(bench, model, front)
    limits = await pulser.limits()
    beyond = {name: 2 * limit.maximum for name, limit in limits.items()}
    with pytest.raises(ValueError, match="period_s"):
        await pulser.set_period_s(beyond["period_s"])
    with pytest.raises(ValueError, match="width_s"):
        await pulser.set_width_s(1, beyond["width_s"])
    with pytest.raises(ValueError, match="delay_s"):
        await pulser.set_delay_s(1, beyond["delay_s"])
    with pytest.raises(ValueError, match="amplitude_v"):
        await pulser.set_amplitude_v(1, beyond["amplitude_v"])
    with pytest.raises(ValueError, match="channel"):
        await pulser.set_output(pulser.channel_count + 1, True)
    await pulser.close()


@agreement(*dict(MODELS))
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("width"), st.integers(1, 2), st.integers(20, 400)),
            st.tuples(st.just("delay"), st.integers(1, 2), st.integers(0, 400)),
            st.tuples(st.just("output"), st.integers(1, 2), st.booleans()),
            st.tuples(st.just("power cycle"), st.just(1), st.none()),
        ),
        max_size=12,
    )
)
def test_the_view_of_a_generator_is_its_state(
    model: str, steps: list[tuple[str, int, Any]]
) -> None:
    async def play() -> None:
        core = lab.simulated(model)
        pulser = driver_on(model, core)
        await pulser.connect()
        channels = range(1, min(2, pulser.channel_count) + 1)
        for what, channel, value in steps:
            if channel not in channels:
                continue
            before = {each: core.output(each) for each in channels}
            match what:
                case "width":
                    await pulser.set_width_s(channel, value * 1e-9)
                case "delay":
                    await pulser.set_delay_s(channel, value * 1e-9)
                case "output":
                    await pulser.set_output(channel, value)
                    assert (core.output(channel) is not None) == value
                case "power cycle":
                    core.power_cycle()
            for each in channels:
                seen = core.output(each)
                assert await pulser.output(each) == (seen is not None)
                if seen is not None:
                    assert seen[0] == pytest.approx(await pulser.width_s(each))
                    assert seen[1] == pytest.approx(await pulser.delay_s(each), abs=1e-12)
                if each != channel and what != "power cycle":
                    assert seen == before[each], "another channel moved"
        await pulser.close()

    asyncio.run(play())

"""What the Quantum Composers 9530 has of its own, beyond a pulse generator."""

from typing import Any

import bench as lab
import pytest
from bench import Bench

from qkd_drivers.catalogue import open_device
from qkd_drivers.errors import DeviceRefused


async def generator_on(bench: Bench) -> tuple[Any, Any]:
    core = lab.simulated("qc-9530")
    address, _ = await bench.plug(core)
    return await open_device("qc-9530", address, "pulser"), core


async def test_a_9530_starts_no_output_but_the_one_it_was_asked_for(bench: Bench) -> None:
    pulser, core = await generator_on(bench)
    core.answer(":PULSE3:STAT 1")
    await pulser.set_output(1, True)
    assert core.output(1) and core.output(3) is None
    await pulser.close()


async def test_a_9530_says_what_it_refuses_and_takes_whole_steps_only(bench: Bench) -> None:
    pulser, core = await generator_on(bench)
    with pytest.raises(ValueError, match="multiple"):
        await pulser.set_period_s(1e-6 / 3)
    core.answer = lambda line: "?8"
    with pytest.raises(DeviceRefused, match=r"pulser: ':PULSE0:PER 0.000001000'.*current state"):
        await pulser.set_period_s(1e-6)
    await pulser.close()

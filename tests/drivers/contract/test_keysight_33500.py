"""The Keysight generators: what is theirs alone."""

from typing import Any

import bench as lab
import pytest
from bench import Bench

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import PulseGenerator
from qkd_drivers.errors import DeviceRefused


async def generator_on(bench: Bench) -> tuple[Any, Any]:
    core = lab.simulated("keysight-33500")
    address, _ = await bench.plug(core, front="tcp")
    return await open_device("keysight-33500", address, "pulser"), core


async def test_a_33500_gives_out_no_other_waveform(bench: Bench) -> None:
    pulser, core = await generator_on(bench)
    core.execute("SOUR1:FUNC SIN;:OUTP1 ON")
    assert not await pulser.output(1)
    seen: list[str] = []
    execute = core.execute

    def watched(message: str) -> str | None:
        seen.append(message)
        answer: str | None = execute(message)
        return answer

    core.execute = watched
    await pulser.set_output(1, True)
    settings_ = [message for message in seen if not message.endswith("?")]
    assert settings_ == ["OUTP1 OFF", "SOUR1:FUNC PULS", "OUTP1 ON"]
    await pulser.close()


async def test_a_33500_shortens_a_pulse_before_the_period_and_sees_a_strayed_channel(
    bench: Bench,
) -> None:
    pulser, core = await generator_on(bench)
    await pulser.set_period_s(1e-7)
    assert await pulser.width_s(1) == await pulser.width_s(2) == pytest.approx(5e-8)
    core.execute("SOUR2:FUNC:PULS:PER 2E-7")
    assert await pulser.period_s() == pytest.approx(2e-7)
    await pulser.close()


async def test_a_33500_tells_the_conflict_that_it_queued(bench: Bench) -> None:
    pulser, _ = await generator_on(bench)
    with pytest.raises(DeviceRefused, match=r"pulser: .*-221.*pulse width decreased"):
        await pulser._set(1, "FUNC:PULS:PER", 1e-6)
    await pulser.close()


async def test_which_way_a_phase_moves_the_pulse_is_a_setting(bench: Bench) -> None:
    core = lab.simulated("keysight-33500")
    address, _ = await bench.plug(core, front="tcp")
    pulser = await open_device("keysight-33500", f"{address}?phase=advances", "pulser")
    assert isinstance(pulser, PulseGenerator)
    await pulser.set_period_s(1e-6)
    await pulser.set_delay_s(2, 250e-9)
    assert core._channels[2].phase_deg == pytest.approx(-90)
    assert await pulser.delay_s(2) == pytest.approx(250e-9)
    await pulser.close()
    with pytest.raises(ValueError, match="phase"):
        make_device("keysight-33500", "tcp:host:1?phase=up", "pulser")

"""A lit laser diode goes to its set-points by its ramp alone."""

from itertools import pairwise
from typing import Any

import bench as lab
import pytest
from actors import LASER, SOURCE
from direct import currents_seen, driver_on

from qkd_controller.devices.kinds.laser import LaserProcedure, LaserSetPoints
from qkd_controller.devices.kinds.laser_head import PairSourceProcedure, PairSourceSetPoints
from qkd_drivers.framing import srs
from qkd_drivers.ramp import STEP_S

HIGH = {"current_a": 0.06, "current_limit_a": 0.08}
ELSEWHERE: list[dict[str, Any]] = [
    {"current_a": 0.02, "current_limit_a": 0.03},
    {"current_a": 0.07, "current_limit_a": 0.07},
    {"current_a": 0.04, "current_limit_a": 0.1},
    {"current_a": 0.09, "current_limit_a": 0.1},
]
RAMP_A_PER_S = 0.1


@pytest.mark.parametrize("model", ["thorlabs-itc4000", "srs-ldc500"])
async def test_limit_and_current_change_together_without_a_jump(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(srs, "ERROR_DELAY_S", 0.0)
    core = lab.simulated(model)
    laser = driver_on(model, core)
    await laser.connect()
    for change in [HIGH, *(to for there in ELSEWHERE for to in (there, HIGH))]:
        seen = currents_seen(laser, core)
        wanted = LaserSetPoints(**LASER | {"ramp_a_per_s": RAMP_A_PER_S} | change)
        await LaserProcedure(laser, wanted).drive()
        assert await laser.current_limit_a() == pytest.approx(wanted.current_limit_a)
        assert core.current_a == pytest.approx(wanted.current_a)
        steps_a = [abs(after - before) for before, after in pairwise(seen)]
        assert max(steps_a) <= RAMP_A_PER_S * STEP_S + 1e-6
    await laser.close()


async def test_a_pair_source_goes_on_and_off_at_its_least_current() -> None:
    core = lab.simulated("qubitekk-qes")
    source = driver_on("qubitekk-qes", core, "?pause_ms=0")
    await source.connect()
    seen = currents_seen(source, core)
    wanted = PairSourceSetPoints(**SOURCE | {"ramp_a_per_s": RAMP_A_PER_S})
    procedure = PairSourceProcedure(source, wanted)
    await procedure.drive()
    assert core.current_a == pytest.approx(wanted.current_a)
    await procedure.rest()
    assert core.current_a == 0
    lit = [current_a for current_a in seen if current_a]
    assert lit[0] == lit[-1] == 0.02 and max(lit) == pytest.approx(wanted.current_a)
    steps_a = [abs(after - before) for before, after in pairwise(lit)]
    assert max(steps_a) <= RAMP_A_PER_S * STEP_S + 1e-3, "a milliampere is the box's step"
    await source.close()

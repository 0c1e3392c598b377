"""A time controller of the bench with its driver, ready to run."""

from typing import Any

import bench as lab
import numpy as np
from bench import Bench

from qkd_drivers.catalogue import open_device
from qkd_drivers.contract import Run
from qkd_drivers.models.idq_id900 import IdqId900
from qkd_firmware_sim.cores.id900 import Id900

RECORD_PS = 200_000_000_000


async def tagger_on(
    bench: Bench, rate_cps: float = 50_000, core: Id900 | None = None, options: str = ""
) -> tuple[IdqId900, Id900, Any]:
    """Driver, core and wire; pulses come on the four channels in turn."""
    core = core or lab.id900()
    bench.rate_cps[core] = rate_cps
    address, wire = await bench.plug(core, front="zmtp")
    device = await open_device("idq-id900", address + options, "tagger")
    assert isinstance(device, IdqId900)
    await device.configure()
    return device, core, wire


async def collect(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """All its times and channels; a run without tags is an error."""
    chunks = [tags async for tags in run]
    return (
        np.concatenate([tags.times_ps for tags in chunks]),
        np.concatenate([tags.channels for tags in chunks]),
    )

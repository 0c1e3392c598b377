"""Alignment undoes any rotation of the fibre with squeezers about two alternating axes."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qkd_controller.node.alignment import AlignmentFailed, AlignmentOutcome, Errors, align

HALF_WAVE_MV = 1500.0
FLOOR = 0.02


def rotation(axis: int, angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    turned = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.roll(turned, (axis, axis), (0, 1))


class Table:
    """Bob's analyser behind four squeezers and a fibre that rotates anyhow."""

    def __init__(self, fibre: NDArray[np.float64], noise: float, seed: int) -> None:
        self.fibre = fibre
        self.noise = noise
        self.random = np.random.default_rng(seed)
        self.voltages = [0.0] * 4

    async def set_voltage(self, channel: int, millivolts: float) -> None:
        assert abs(millivolts) <= HALF_WAVE_MV
        self.voltages[channel] = millivolts

    async def probe(self) -> Errors:
        total = self.fibre
        for channel, v in enumerate(self.voltages):
            total = rotation(channel % 2, np.pi * v / HALF_WAVE_MV) @ total
        rates = [(1 - (1 - 2 * FLOOR) * total[i, i]) / 2 for i in (0, 1)]
        z, x = (
            int(self.random.binomial(2000, r)) if self.noise else round(2000 * r) for r in rates
        )
        return Errors(2000, z, 2000, x)


async def aligned(table: Table) -> AlignmentOutcome:
    return await align(
        list(table.voltages), HALF_WAVE_MV, table.set_voltage, table.probe, 0.03, max_sweeps=10
    )


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), st.integers(0, 2**31))
def test_any_rotation_is_undone(angles: tuple[float, float, float], seed: int) -> None:
    fibre = rotation(0, angles[0]) @ rotation(1, angles[1]) @ rotation(0, angles[2])
    table = Table(fibre, noise=1.0, seed=seed)
    outcome = asyncio.run(aligned(table))
    assert outcome.qber_ratio < 0.06
    assert list(outcome.voltages_mv) == table.voltages


async def test_no_coincidences_is_a_clear_failure() -> None:
    async def nothing() -> Errors:
        return Errors(0, 0, 0, 0)

    async def ignore(channel: int, millivolts: float) -> None:
        del channel, millivolts

    with pytest.raises(AlignmentFailed, match="no coincidences"):
        await align([0.0], HALF_WAVE_MV, ignore, nothing, 0.03)


def test_chance_alone_is_not_clearly_above() -> None:
    assert not Errors(10_000, 450, 100, 8).clearly_above(0.045)
    assert Errors(10_000, 500, 100, 4).clearly_above(0.045)
    assert Errors(10_000, 100, 1_000, 80).clearly_above(0.045)
    assert not Errors(0, 0, 0, 0).clearly_above(0.045)

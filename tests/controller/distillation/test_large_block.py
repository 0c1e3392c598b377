"""A block of 10^7 key bits."""

import numpy as np
import pytest

from qkd_controller.distillation.block import DistilledBlock


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_ten_million_key_bits(make_codes, make_plan, run_pair) -> None:
    pairs = 40_200_000
    plan = make_plan(
        pairs=pairs,
        key_bits=10_000_000,
        test_bits=10_000_000,
        qber_tolerance_ratio=0.03,
        leakage_budget_bits=1_650_000,
        epsilon_secrecy=1e-10,
        epsilon_correctness=1e-15,
    )
    codes = make_codes(np.random.default_rng(1), pairs, 0.02)
    alice, bob, _ = await run_pair(codes, plan, expected_qber=0.02)
    assert isinstance(alice, DistilledBlock)
    assert isinstance(bob, DistilledBlock)
    assert alice.key == bob.key
    assert alice.report.key_string.efficiency < 1.10

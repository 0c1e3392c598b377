"""The method of a block follows what the node sees, unless the link file forces it."""

import math
from types import SimpleNamespace

import msgspec
import pytest

from qkd_controller.config.link import BlockPlan
from qkd_controller.node import pace as pace_module
from qkd_controller.node.pace import Pace

PLAN = BlockPlan(
    pairs=4_000_000,
    key_basis="z",
    key_bits=2_000_000,
    test_bits=200_000,
    qber_tolerance_ratio=0.045,
    leakage_budget_bits=500_000,
)
AMPLE_PAIRS = 40 * PLAN.pairs


def test_nothing_known_means_cascade() -> None:
    assert Pace(PLAN, 4).method(0.02, 0) == "cascade"


def test_long_round_trips_under_load_mean_codes_and_short_ones_cascade() -> None:
    pace = Pace(PLAN, 4)
    pace.answered(0.1)
    assert pace.method(0.02, AMPLE_PAIRS) == "ldpc"
    pace.answered(0.0001)
    assert pace.method(0.02, AMPLE_PAIRS) == "cascade"


def test_a_round_without_an_answer_says_nothing() -> None:
    pace = Pace(PLAN, 4)
    pace.answered(0.1)
    pace.answered(math.inf)
    assert pace.method(0.02, AMPLE_PAIRS) == "ldpc"


@pytest.mark.parametrize("method", ["cascade", "ldpc"])
def test_the_link_file_decides(method: str) -> None:
    plan = msgspec.structs.replace(PLAN, reconciliation=method)
    pace = Pace(plan, 4)
    pace.answered(0.1)
    assert pace.method(0.02, AMPLE_PAIRS) == pace.method(0.02, 0) == method


def test_what_waits_before_the_conversation_is_load() -> None:
    pace = Pace(PLAN, 4)
    pace.answered(0.3)
    assert pace.method(0.02, 0) == "cascade"
    assert pace.method(0.02, PLAN.pairs // 2) == "cascade"
    assert pace.method(0.02, AMPLE_PAIRS) == "ldpc"


def test_the_first_block_tells_how_quickly_pairs_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """From when they were first collected to when they were enough."""
    for collecting_s, method in ((0.5, "ldpc"), (50.0, "cascade")):
        pace = Pace(PLAN, 4)
        pace.answered(0.3)
        at_s = iter((100.0, 100.0 + collecting_s))
        monkeypatch.setattr(pace_module, "time", SimpleNamespace(monotonic=at_s.__next__))
        pace.begin()
        pace.opened()
        assert pace.method(0.02, 0) == method

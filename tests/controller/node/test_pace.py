"""The method of a block follows what the node sees, unless the link file forces it."""

from dataclasses import replace

import msgspec
import pytest

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.report import BlockReport, StringReport
from qkd_controller.node.pace import Pace
from qkd_controller.security.bounds import Epsilons

PLAN = BlockPlan(
    pairs=4_000_000,
    key_basis="z",
    key_bits=2_000_000,
    test_bits=200_000,
    qber_tolerance_ratio=0.045,
    leakage_budget_bits=500_000,
)
STRING = StringReport(string_bits=2_000_000, errors=40_000)


def report(answer_s: float) -> BlockReport:
    return BlockReport(
        block=1,
        pairs=PLAN.pairs,
        multi_clicks=0,
        sifted_z_bits=2_000_000,
        sifted_x_bits=200_000,
        key_basis="z",
        strings={"z": replace(STRING, answer_s=answer_s), "x": STRING},
        released_bits=8,
        epsilons=Epsilons(0.0, 0.0, 0.0),
        durations_s={},
    )


def test_nothing_known_means_cascade() -> None:
    assert Pace(PLAN, 4).method(0.02, 0) == "cascade"


def test_long_round_trips_under_load_mean_codes_and_short_ones_cascade() -> None:
    pace = Pace(PLAN, 4)
    pace.opened()
    pace.opened()
    pace.finished(report(0.1))
    assert pace.method(0.02, 40) == "ldpc"
    pace.finished(report(0.0001))
    assert pace.method(0.02, 40) == "cascade"


@pytest.mark.parametrize("method", ["cascade", "ldpc"])
def test_the_link_file_decides(method: str) -> None:
    plan = msgspec.structs.replace(PLAN, reconciliation=method)
    pace = Pace(plan, 4)
    pace.finished(report(0.1))
    assert pace.method(0.02, 40) == pace.method(0.02, 0) == method


def test_a_full_window_means_that_blocks_wait() -> None:
    pace = Pace(PLAN, 4)
    pace.finished(report(0.3))
    assert pace.method(0.02, 3) == "cascade"
    assert pace.method(0.02, 4) == "ldpc"

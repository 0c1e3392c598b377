"""The ledger and what leakage must be at least."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.security.errors import AccountsDisagree
from qkd_controller.security.leakage import (
    SETTLING_BLOCKS,
    LeakageMonitor,
    check_leakage,
    log2_binomial,
)
from qkd_controller.security.ledger import BlockLedger, LedgerClass

entries = st.lists(
    st.tuples(
        st.sampled_from([LedgerClass.LEAKED, LedgerClass.DISCLOSED, LedgerClass.MASKED]),
        st.sampled_from(["z", "x"]),
        st.integers(0, 10**6),
    )
)


@settings(deadline=None)
@given(entries)
def test_every_bit_is_charged_once(entered: list[tuple[LedgerClass, str, int]]) -> None:
    ledger = BlockLedger()
    for ledger_class, string, cost in entered:
        ledger.enter(ledger_class, string, cost)
    account = ledger.account()
    charged = (
        account.leaked_z_bits
        + account.leaked_x_bits
        + account.disclosed_z_bits
        + account.disclosed_x_bits
        + account.masked_bits
    )
    assert charged == sum(cost for _, _, cost in entered)
    assert account.messages == len(entered)
    assert account.leaked_x_bits == sum(
        cost for kind, string, cost in entered if (kind, string) == (LedgerClass.LEAKED, "x")
    )


@pytest.mark.parametrize(
    ("ledger_class", "string", "cost"),
    [
        (LedgerClass.LEAKED, "z", -1),
        (LedgerClass.PUBLIC, "z", 1),
        (LedgerClass.LEAKED, "", 1),
        (LedgerClass.DISCLOSED, "y", 1),
    ],
)
def test_what_cannot_be_entered_changes_nothing(
    ledger_class: LedgerClass, string: str, cost: int
) -> None:
    ledger = BlockLedger()
    with pytest.raises(ValueError):
        ledger.enter(ledger_class, string, cost)
    assert ledger == BlockLedger()


@pytest.mark.parametrize(("n", "k"), [(10, 5), (10**6, 0), (52, 5), (10**4, 500), (7, 7)])
def test_binomials(n: int, k: int) -> None:
    assert log2_binomial(n, k) == pytest.approx(math.log2(math.comb(n, k)), abs=1e-6)


def test_leakage_below_the_information_bound_is_refused() -> None:
    least = log2_binomial(10**5, 2_000)
    check_leakage(10**5, 2_000, int(least))
    check_leakage(10**5, 2_000, int(least) - 62)
    with pytest.raises(AccountsDisagree, match="below the information bound"):
        check_leakage(10**5, 2_000, int(least) - 65)


def test_subtracting_the_corrected_errors_is_noticed() -> None:
    honest = int(1.05 * log2_binomial(10**5, 2_000))
    check_leakage(10**5, 2_000, honest)
    with pytest.raises(AccountsDisagree):
        check_leakage(10**5, 2_000, honest - 2_000)


def test_mean_leakage_below_the_bound_is_noticed_once_settled() -> None:
    monitor = LeakageMonitor()
    least = 14_144  # 10^5 h(0.02) = 14144.05
    with pytest.raises(AccountsDisagree, match="mean leakage"):
        for _ in range(SETTLING_BLOCKS):
            monitor.add(10**5, 2_000, least)
    assert monitor.blocks == SETTLING_BLOCKS


def test_honest_mean_leakage_passes() -> None:
    monitor = LeakageMonitor()
    for errors in range(0, 3_000, 30):
        monitor.add(10**5, errors, int(1.05 * log2_binomial(10**5, errors)) + 200)
    assert 1.0 < monitor.efficiency < 1.2

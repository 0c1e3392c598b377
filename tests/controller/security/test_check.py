"""The independent check agrees with the bound, and refuses anything beyond it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from qkd_controller.config.link import BlockPlan
from qkd_controller.security.bounds import released_bits, secret_bits
from qkd_controller.security.check import check_release
from qkd_controller.security.errors import AccountsDisagree, ToleranceExceeded
from qkd_controller.security.ledger import Account

PLAN = BlockPlan(
    pairs=500_000,
    key_basis="z",
    key_bits=100_000,
    test_bits=50_000,
    qber_tolerance_ratio=0.03,
    leakage_budget_bits=20_000,
    epsilon_secrecy=1e-10,
    epsilon_correctness=1e-15,
)
ACCOUNT = Account(
    leaked_z_bits=18_000,
    leaked_x_bits=0,
    disclosed_z_bits=0,
    disclosed_x_bits=50_000,
    masked_bits=0,
    messages=100,
)
LENGTH = released_bits(PLAN, 18_000, 1_000)


def test_the_right_length_passes() -> None:
    assert LENGTH > 30_000
    check_release(PLAN, ACCOUNT, 18_000, 1_000, LENGTH)


@settings(deadline=None)
@given(
    st.integers(100, 10**7),
    st.integers(100, 10**7),
    st.floats(0, 0.15),
    st.floats(1e-30, 0.1),
)
def test_two_ways_to_one_bound(n: int, k: int, tolerance: float, epsilon: float) -> None:
    plan = BlockPlan(
        pairs=1,
        key_basis="x",
        key_bits=n,
        test_bits=k,
        qber_tolerance_ratio=tolerance,
        leakage_budget_bits=n // 10,
        epsilon_secrecy=epsilon,
        epsilon_correctness=1e-12,
    )
    account = replace(ACCOUNT, leaked_z_bits=0, disclosed_x_bits=0, disclosed_z_bits=k)
    length = released_bits(plan, 0, 0)
    if length:
        check_release(plan, account, 0, 0, length)
        with pytest.raises(AccountsDisagree, match="exceed the bound"):
            check_release(plan, account, 0, 0, int(secret_bits(plan, n // 10)) + 2)


@pytest.mark.parametrize("per_mille", range(1, 60))
def test_as_many_errors_as_tolerated_pass_and_one_more_does_not(per_mille: int) -> None:
    plan = structs.replace(PLAN, qber_tolerance_ratio=per_mille / 1000)
    length = released_bits(plan, 18_000, 50 * per_mille)
    check_release(plan, ACCOUNT, 18_000, 50 * per_mille, length)
    with pytest.raises(ToleranceExceeded):
        released_bits(plan, 18_000, 50 * per_mille + 1)
    with pytest.raises(AccountsDisagree):
        check_release(plan, ACCOUNT, 18_000, 50 * per_mille + 1, length)


@pytest.mark.parametrize(
    ("account", "leaked", "errors", "length", "reason"),
    [
        (replace(ACCOUNT, leaked_z_bits=17_999), 18_000, 1_000, LENGTH, "ledger holds 17999"),
        (replace(ACCOUNT, leaked_z_bits=18_001), 18_000, 1_000, LENGTH, "ledger holds 18001"),
        (replace(ACCOUNT, leaked_z_bits=20_001), 20_001, 1_000, LENGTH, "20000 allowed"),
        (replace(ACCOUNT, disclosed_z_bits=100), 18_000, 1_000, LENGTH, "exceed the bound"),
        (replace(ACCOUNT, disclosed_x_bits=49_999), 18_000, 1_000, LENGTH, "once and whole"),
        (replace(ACCOUNT, leaked_x_bits=1), 18_000, 1_000, LENGTH, "once and whole"),
        (ACCOUNT, 18_000, 1_501, LENGTH, "1501 errors"),
        (ACCOUNT, 18_000, 1_000, LENGTH + 8, "exceed the bound"),
        (ACCOUNT, 18_000, 1_000, 0, "a key of 0 bits"),
    ],
)
def test_refusals(account: Account, leaked: int, errors: int, length: int, reason: str) -> None:
    with pytest.raises(AccountsDisagree, match=reason):
        check_release(PLAN, account, leaked, errors, length)

"""A second opinion on every block: the release inequality, worked out from the ledger alone.

Nothing here is shared with ``bounds``: the inequality is written out anew, in exact rational and
high-precision decimal arithmetic, so that one slip does not pass in both places.
"""

import decimal
from decimal import Decimal
from fractions import Fraction

from qkd_controller.config.link import BlockPlan
from qkd_controller.security.errors import AccountsDisagree
from qkd_controller.security.ledger import Account

_CONTEXT = decimal.Context(prec=40)


def check_release(
    plan: BlockPlan,
    account: Account,
    leaked_bits: int,
    test_errors: int,
    length_bits: int,
) -> None:
    """Raises AccountsDisagree unless a key of length_bits may leave this block.

    leaked_bits is what the distillation believes it leaked about the key string: it must be what
    the ledger holds.
    """
    accounts = {
        "z": (account.leaked_z_bits, account.disclosed_z_bits),
        "x": (account.leaked_x_bits, account.disclosed_x_bits),
    }
    in_ledger, disclosed = accounts[plan.key_basis]
    test_account = accounts["x" if plan.key_basis == "z" else "z"]
    if test_account != (0, plan.test_bits):
        raise _refuse("the ledger does not hold the test string as told openly, once and whole")
    if in_ledger != leaked_bits:
        raise _refuse(f"the ledger holds {in_ledger} leaked bits, the block counted {leaked_bits}")
    if in_ledger > plan.leakage_budget_bits:
        raise _refuse(f"{in_ledger} leaked bits, {plan.leakage_budget_bits} allowed")
    # The tolerance is the decimal number that the link file says, not its nearest binary one.
    if Fraction(test_errors, plan.test_bits) > Fraction(repr(plan.qber_tolerance_ratio)):
        raise _refuse(f"{test_errors} errors in {plan.test_bits} test bits")
    if length_bits <= 0:
        raise _refuse(f"a key of {length_bits} bits")
    with decimal.localcontext(_CONTEXT):
        most = _most_bits(plan, plan.key_bits - disclosed, in_ledger)
        budgeted = _most_bits(plan, plan.key_bits - disclosed, plan.leakage_budget_bits)
    if not length_bits <= min(most, budgeted):
        raise _refuse(f"{length_bits} bits exceed the bound of {min(most, budgeted):.1f}")


def _most_bits(plan: BlockPlan, key_bits: int, leaked_bits: int) -> Decimal:
    n, k = Decimal(key_bits), Decimal(plan.test_bits)
    secrecy, correctness = Decimal(plan.epsilon_secrecy), Decimal(plan.epsilon_correctness)
    mu = ((n + k) * (k + 1) * (Decimal(4) / secrecy).ln() / (n * k * k)).sqrt()
    phase_error = Decimal(plan.qber_tolerance_ratio) + mu
    if phase_error >= Decimal("0.5"):
        return Decimal(-leaked_bits)
    ln2 = Decimal(2).ln()
    agreement = 1 - phase_error
    entropy = -(phase_error * phase_error.ln() + agreement * agreement.ln()) / ln2
    return n * (1 - entropy) - leaked_bits - (2 / (secrecy * secrecy * correctness)).ln() / ln2


def _refuse(reason: str) -> AccountsDisagree:
    return AccountsDisagree(
        f"the independent check refuses the release: {reason}; report this as a fault"
    )

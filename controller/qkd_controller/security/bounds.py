"""The finite-key bound of a BBM92 block, for the fixed-length protocol.

Tomamichel, Lim, Gisin and Renner, "Tight finite-key analysis for quantum cryptography", Nat.
Commun. 3, 634 (2012): a key string of n bits in one basis, a test string of k bits in the other,
both lengths, the tolerated error rate and the leakage fixed in advance. Key comes from one of the
two strings only: we know of no published proof that covers key from both strings of one block.
"""

import math
from dataclasses import dataclass

from qkd_controller.config.link import BlockPlan
from qkd_controller.security.errors import ToleranceExceeded


@dataclass(frozen=True)
class Epsilons:
    """The parts of a block's failure probability; they add up."""

    secrecy: float
    correctness: float
    """Both strings' confirmations together."""
    authentication: float

    @property
    def total(self) -> float:
        return self.secrecy + self.correctness + self.authentication


def binary_entropy(x: float) -> float:
    """h(x) in bits; raises ValueError outside 0 … 1."""
    if not 0 <= x <= 1:
        raise ValueError(f"binary entropy of {x}")
    if x in (0.0, 1.0):
        return 0.0
    return -x * math.log2(x) - (1 - x) * math.log2(1 - x)


def sampling_deviation(key_bits: int, test_bits: int, epsilon_secrecy: float) -> float:
    """μ = sqrt((n+k)/(nk) · (k+1)/k · ln(4/ε_sec)), Tomamichel et al. 2012.

    How far the error rate of the key string, had it been measured in the test basis, may lie above
    that of the test string.
    """
    n, k = key_bits, test_bits
    return math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4 / epsilon_secrecy))


def secret_bits(plan: BlockPlan, leaked_bits: float) -> float:
    """n(1 − h(Q_tol + μ)) − leak − log2(2/(ε_sec² ε_cor)), Tomamichel et al. 2012.

    The preparation quality q is 1: ideal complementary bases. Not rounded; may be negative.
    """
    deviation = sampling_deviation(plan.key_bits, plan.test_bits, plan.epsilon_secrecy)
    phase_error = min(0.5, plan.qber_tolerance_ratio + deviation)
    # The logarithms are taken apart because the product of the epsilons may underflow.
    overhead = 1 - 2 * math.log2(plan.epsilon_secrecy) - math.log2(plan.epsilon_correctness)
    return plan.key_bits * (1 - binary_entropy(phase_error)) - leaked_bits - overhead


def check_tolerance(plan: BlockPlan, test_errors: int) -> None:
    """Raises ToleranceExceeded if the test string shows more errors than Q_tol allows."""
    if test_errors / plan.test_bits > plan.qber_tolerance_ratio:
        raise ToleranceExceeded(
            f"{test_errors} errors in {plan.test_bits} test bits: QBER "
            f"{test_errors / plan.test_bits:.2%} exceeds the tolerated "
            f"{plan.qber_tolerance_ratio:.2%}; realign, or raise qber_tolerance_ratio"
        )


def released_bits(plan: BlockPlan, leaked_bits: int, test_errors: int) -> int:
    """The key length of a block, in whole bytes; 0 if the bound leaves nothing.

    The whole leakage budget is charged, however little of it was used, and Q_tol, however few
    errors were seen. Raises ToleranceExceeded where the block must abort.
    """
    check_tolerance(plan, test_errors)
    if leaked_bits > plan.leakage_budget_bits:
        raise ToleranceExceeded(
            f"{leaked_bits} bits leaked of a budget of {plan.leakage_budget_bits}; "
            "realign, or raise leakage_budget_bits"
        )
    length = math.floor(secret_bits(plan, plan.leakage_budget_bits))
    return max(0, length) // 8 * 8


def covered_confirmation_bits(epsilon_correctness: float) -> int:
    """⌈log2(1/ε_cor)⌉: bits of the key string's confirmation that the bound already subtracts."""
    return math.ceil(-math.log2(epsilon_correctness))

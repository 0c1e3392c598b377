"""Whether reconciliation can have leaked as little as it says it did."""

import math

from qkd_controller.security.bounds import binary_entropy
from qkd_controller.security.errors import AccountsDisagree

SLACK_BITS = 64
SETTLING_BLOCKS = 8


def log2_binomial(n: int, k: int) -> float:
    """log2 of n over k."""
    natural = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return natural / math.log(2)


def check_leakage(string_bits: int, errors: int, leaked_bits: int) -> None:
    """Raises AccountsDisagree if so many errors cannot have been found with so little said.

    Error patterns of e errors need log2 C(n, e) bits to be told apart; saying s bits less
    succeeds with probability 2^-s at most.
    """
    least = log2_binomial(string_bits, errors) - SLACK_BITS
    if leaked_bits < least:
        raise AccountsDisagree(
            f"leakage below the information bound: {errors} errors in {string_bits} bits need "
            f"{least:.0f} bits, the ledger holds {leaked_bits}; report this as a fault"
        )


class LeakageMonitor:
    """Mean leakage over many blocks, which cannot lie below n·h(Q)."""

    def __init__(self) -> None:
        self.blocks = 0
        self.leaked_bits = 0
        self.least_bits = 0.0

    @property
    def efficiency(self) -> float:
        """Leakage over its least, f; infinite before the first error."""
        return self.leaked_bits / self.least_bits if self.least_bits else math.inf

    def add(self, string_bits: int, errors: int, leaked_bits: int) -> None:
        """Counts one string. Raises AccountsDisagree once the mean lies below the bound."""
        self.blocks += 1
        self.leaked_bits += leaked_bits
        self.least_bits += string_bits * binary_entropy(errors / string_bits)
        if self.blocks >= SETTLING_BLOCKS and self.leaked_bits < self.least_bits:
            raise AccountsDisagree(
                f"mean leakage below the information bound: {self.leaked_bits} bits over "
                f"{self.blocks} strings that need {self.least_bits:.0f}; report this as a fault"
            )

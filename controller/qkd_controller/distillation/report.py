"""What a block took and what it yielded, without any of its bits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from qkd_controller.link.block_messages import StringName
from qkd_controller.security.bounds import Epsilons, binary_entropy


@dataclass(frozen=True)
class StringReport:
    """One of a block's two strings."""

    string_bits: int
    errors: int
    leaked_bits: int = 0
    """Everything that was leaked about this string by the ledger, confirmation included."""
    disclosed_bits: int = 0
    """Bits told openly, of which no key is made."""
    rounds: int = 0
    confirmations: int = 0
    repaired_frames: int = 0
    disclosed_frames: int = 0
    answer_s: float = field(default=math.inf, compare=False)
    """The quickest answer to a request of the corrector's, known there."""

    @property
    def qber_ratio(self) -> float:
        return self.errors / self.string_bits

    @property
    def efficiency(self) -> float:
        """f: leakage over n·h(QBER); infinite without errors."""
        least = self.string_bits * binary_entropy(self.qber_ratio)
        return self.leaked_bits / least if least else math.inf


@dataclass(frozen=True)
class BlockReport:
    """One block; both ends' reports say the same but for the durations and their own clicks."""

    block: int
    pairs: int
    multi_clicks: int
    """Own multi-clicks among the pairs."""
    sifted_z_bits: int
    sifted_x_bits: int
    key_basis: StringName
    strings: Mapping[StringName, StringReport]
    """By basis, "z" and "x"."""
    released_bits: int
    epsilons: Epsilons
    durations_s: Mapping[str, float]
    """Wall clock by stage."""

    @property
    def key_string(self) -> StringReport:
        """n: the string that the key is made of."""
        return self.strings[self.key_basis]

    @property
    def test_string(self) -> StringReport:
        """k: the string that bounds the phase error."""
        return self.strings["x" if self.key_basis == "z" else "z"]

"""Which version of the kernels runs: the best this machine has, or the one that is forced.

``QKD_KERNELS`` (portable, avx2, avx512) caps the choice for a whole process; ``forced`` does so
for a test. The portable version is the oracle of the others, bit for bit.
"""

import contextlib
import os
from collections.abc import Iterator
from enum import IntEnum

from qkd_native._kernels import lib


class Tier(IntEnum):
    """An instruction set and all below it."""

    PORTABLE = 0
    AVX2 = 1
    AVX512 = 2


def supported() -> list[Tier]:
    """The tiers that this machine can run, worst first."""
    return [tier for tier in Tier if tier <= lib.qkd_tier_best()]


def current() -> Tier:
    """The tier that kernels run in now."""
    return _chosen[-1]


def name() -> str:
    """The current tier's name, as ``QKD_KERNELS`` spells it."""
    return current().name.lower()


@contextlib.contextmanager
def forced(tier: Tier) -> Iterator[None]:
    """Runs the kernels in this tier meanwhile; raises ValueError if the machine cannot."""
    if tier not in supported():
        raise ValueError(f"this machine has no {tier.name}")
    _chosen.append(tier)
    try:
        yield
    finally:
        _chosen.pop()


def _initial() -> Tier:
    name = os.environ.get("QKD_KERNELS", "").upper()
    best = supported()[-1]
    if not name:
        return best
    if name not in Tier.__members__:
        raise ValueError(f"QKD_KERNELS={name.lower()}: known are portable, avx2, avx512")
    return min(best, Tier[name])


_chosen: list[Tier] = [_initial()]

"""What Cascade with our block sizes leaks and leaves: a sample, and 10^4 frames an error rate."""

from collections.abc import Callable
from math import log2, sqrt

import numpy as np
import pytest

from qkd_controller.distillation.reconciliation import SEED_BYTES, block_sizes, cascade_plan
from qkd_native.cascade import MAX_FRAME_BITS, Corrector, Reference

BATCH = 50
SIGMAS = 1.96
"""Two-sided 95 % of a normal distribution."""


def reconcile(seed: int, qber: float) -> tuple[float, int]:
    """f of a batch of frames, and how many of them stay unequal."""
    rng = np.random.default_rng([seed, int(1000 * qber)])
    bits = BATCH * MAX_FRAME_BITS
    truth = rng.integers(0, 2, bits, np.uint8)
    noisy = truth ^ (rng.random(bits, np.float32) < qber).astype(np.uint8)
    rate = np.count_nonzero(truth ^ noisy) / bits
    sizes = block_sizes(qber, MAX_FRAME_BITS)
    plan = cascade_plan(rng.bytes(SEED_BYTES), bits, MAX_FRAME_BITS, sizes)
    corrector, reference = Corrector(plan, noisy), Reference(plan, truth)
    leaked = 0
    while (questions := corrector.ask()).size:
        corrector.absorb(questions, reference.answer(questions))
        leaked += questions.size
    failed = (truth ^ noisy).reshape(BATCH, -1).any(axis=1).sum()
    return leaked / bits / -(rate * log2(rate) + (1 - rate) * log2(1 - rate)), int(failed)


def wilson(failed: int, frames: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a probability (J. Am. Stat. Assoc. 22, 209 (1927))."""
    share, square = failed / frames, SIGMAS**2 / frames
    centre = share + square / 2
    half = SIGMAS * sqrt(share * (1 - share) / frames + square / frames / 4)
    return (centre - half) / (1 + square), (centre + half) / (1 + square)


@pytest.mark.parametrize("qber", [0.01, 0.02, 0.03, 0.05])
def test_a_sample_leaks_little_more_than_the_entropy(qber: float) -> None:
    efficiency, failed = reconcile(1, qber)
    assert 1.0 < efficiency < 1.08
    assert failed <= 3


@pytest.mark.soak
@pytest.mark.parametrize("qber", [0.01, 0.02, 0.03, 0.05])
def test_ten_thousand_frames_keep_efficiency_and_frame_error(
    qber: float, record_property: Callable[[str, object], None]
) -> None:
    """f at most 1.07 and frame error at most 1 %, each with 95 % confidence."""
    batches = [reconcile(seed, qber) for seed in range(10_000 // BATCH)]
    efficiencies = np.array([efficiency for efficiency, _ in batches])
    margin = SIGMAS * float(efficiencies.std(ddof=1)) / sqrt(len(batches))
    frame_error = wilson(sum(failed for _, failed in batches), BATCH * len(batches))
    record_property("f", f"{efficiencies.mean():.4f} ± {margin:.4f}")
    record_property("frame_error", "{:.5f} .. {:.5f}".format(*frame_error))
    assert efficiencies.mean() + margin < 1.07
    assert frame_error[1] < 0.01

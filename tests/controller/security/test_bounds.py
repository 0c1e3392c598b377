"""The finite-key bound: published numbers, monotonicity, and what a block may release."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.config.link import BlockPlan
from qkd_controller.security.bounds import (
    Epsilons,
    binary_entropy,
    covered_confirmation_bits,
    released_bits,
    sampling_deviation,
    secret_bits,
)
from qkd_controller.security.errors import ToleranceExceeded


def plan(n: int, k: int, tolerance: float, budget: int = 0, epsilon: float = 1e-10) -> BlockPlan:
    return BlockPlan(
        pairs=4 * (n + k),
        key_basis="z",
        key_bits=n,
        test_bits=k,
        qber_tolerance_ratio=tolerance,
        leakage_budget_bits=budget,
        epsilon_secrecy=epsilon,
        epsilon_correctness=epsilon,
    )


@pytest.mark.parametrize(
    ("n", "k", "qber", "length", "deviation"),
    [
        (10**4, 3_800, 0.0248, 2791.813418, 0.094168977411),
        (10**5, 9_000, 0.0214, 44771.651194, 0.054377482012),
        (10**6, 20_000, 0.0173, 564018.558930, 0.035285714685),
    ],
)
def test_reference_values(n: int, k: int, qber: float, length: float, deviation: float) -> None:
    leaked = 1.1 * n * binary_entropy(qber)
    assert secret_bits(plan(n, k, qber), leaked) == pytest.approx(length, abs=1e-6)
    assert sampling_deviation(n, k, 1e-10) == pytest.approx(deviation, abs=1e-12)


blocks = st.tuples(
    st.integers(100, 10**7), st.integers(100, 10**7), st.floats(0, 0.2), st.integers(0, 10**5)
)


@settings(deadline=None)
@given(blocks, st.integers(1, 10**5))
def test_more_leakage_is_paid_bit_by_bit(block: tuple[int, int, float, int], more: int) -> None:
    n, k, tolerance, leaked = block
    terms = plan(n, k, tolerance)
    difference = secret_bits(terms, leaked) - secret_bits(terms, leaked + more)
    assert difference == pytest.approx(more)


@settings(deadline=None)
@given(blocks, st.floats(0, 0.3), st.integers(1, 10**6))
def test_monotone(block: tuple[int, int, float, int], worse: float, more_test: int) -> None:
    n, k, tolerance, leaked = block
    best = secret_bits(plan(n, k, tolerance), leaked)
    tiny = 1e-6
    assert secret_bits(plan(n, k, tolerance + worse), leaked) <= best + tiny
    assert secret_bits(plan(n, k + more_test, tolerance), leaked) >= best - tiny
    assert secret_bits(plan(n, k, tolerance, epsilon=1e-12), leaked) <= best + tiny
    assert best <= n


@settings(deadline=None)
@given(blocks, st.floats(0, 1), st.floats(0, 1))
def test_released_never_exceeds_the_bound(
    block: tuple[int, int, float, int], errors_share: float, leaked_share: float
) -> None:
    n, k, tolerance, budget = block
    terms = plan(n, k, tolerance, budget)
    errors = int(errors_share * tolerance * k * (1 - 1e-12))  # never rounded up past Q_tol
    leaked = int(leaked_share * budget)
    length = released_bits(terms, leaked, errors)
    assert length % 8 == 0
    assert length == 0 or length <= secret_bits(terms, budget)
    observed = plan(n, k, errors / k, budget)
    assert length <= max(0.0, secret_bits(observed, leaked)) + 1e-6
    assert length == released_bits(terms, 0, 0), "a fixed-length protocol has one length"


def test_beyond_the_tolerances_the_block_aborts() -> None:
    terms = plan(10**5, 10**4, 0.03, 20_000)
    assert released_bits(terms, 20_000, 300) > 0
    with pytest.raises(ToleranceExceeded, match=r"QBER 3\.01%"):
        released_bits(terms, 20_000, 301)
    with pytest.raises(ToleranceExceeded, match="budget of 20000"):
        released_bits(terms, 20_001, 300)


def test_a_hopeless_block_releases_nothing() -> None:
    assert released_bits(plan(1_000, 1_000, 0.1), 0, 0) == 0
    assert secret_bits(plan(1_000, 10, 0.4), 0) < 0


@settings(deadline=None)
@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_bounded(x: float) -> None:
    assert 0 <= binary_entropy(x) <= 1
    assert binary_entropy(x) == pytest.approx(binary_entropy(1 - x), abs=1e-12)


def test_entropy_of_no_probability() -> None:
    with pytest.raises(ValueError):
        binary_entropy(1.1)


@pytest.mark.parametrize(("epsilon", "bits"), [(0.5, 1), (1e-10, 34), (1e-15, 50), (2.0**-64, 64)])
def test_covered_confirmation_bits(epsilon: float, bits: int) -> None:
    assert covered_confirmation_bits(epsilon) == bits
    assert 2.0**-bits <= epsilon * (1 + 1e-12)


def test_epsilons_add_up() -> None:
    assert math.isclose(Epsilons(1e-10, 1e-15, 1e-20).total, 1.0000100001e-10)

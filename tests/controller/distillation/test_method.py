"""The choice of a reconciliation: what it must never do as one thing alone changes."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.method import (
    LEAST_LDPC_BITS,
    MOST_LDPC_QBER,
    Load,
    carried_qber_ratio,
    cascade_leak_bits,
    choose_method,
    codes_leak_bits,
    secret_bits_per_s,
)
from qkd_controller.security.bounds import binary_entropy

STRING_BITS = 4 * LEAST_LDPC_BITS
qbers = st.floats(0, MOST_LDPC_QBER)
loads = st.builds(
    Load,
    arriving_bits_per_s=st.floats(0, 1e9),
    waiting_bits=st.floats(0, 1e10),
    in_conversation_bits=st.floats(STRING_BITS, 1e10),
    round_trip_s=st.floats(0, 10),
    cores=st.floats(0.01, 64),
)
more = st.floats(1, 100)


def never_from(method, qber, before, after):
    """Not away from this method as the load changes so."""
    if choose_method(qber, STRING_BITS, before) == method:
        assert choose_method(qber, STRING_BITS, after) == method


@settings(max_examples=300)
@given(qbers, loads, more)
def test_a_slower_link_never_makes_cascade_of_ldpc(qber, load, factor):
    never_from("ldpc", qber, load, replace(load, round_trip_s=load.round_trip_s * factor))


@settings(max_examples=300)
@given(qbers, loads, more)
def test_more_memory_never_makes_ldpc_of_cascade(qber, load, factor):
    longer = replace(load, in_conversation_bits=load.in_conversation_bits * factor)
    never_from("cascade", qber, load, longer)


@given(qbers, loads)
def test_an_idle_link_without_delay_takes_cascade(qber, load):
    idle = replace(load, round_trip_s=0.0, arriving_bits_per_s=1e5, waiting_bits=0.0, cores=1.0)
    assert choose_method(qber, STRING_BITS, idle) == "cascade"


@given(qbers, loads)
def test_what_is_forced_is_taken(qber, load):
    assert choose_method(qber, STRING_BITS, load, forced="ldpc") == "ldpc"
    assert choose_method(qber, STRING_BITS, load, forced="cascade") == "cascade"


@given(loads)
def test_strings_and_error_rates_that_no_code_suits_take_cascade(load):
    assert choose_method(0.02, LEAST_LDPC_BITS - 1, load) == "cascade"
    assert choose_method(0.13, STRING_BITS, load) == "cascade"


@settings(max_examples=300)
@given(qbers, loads, more, st.sampled_from(["cascade", "ldpc"]))
def test_more_load_memory_or_cpu_never_makes_less_key(qber, load, factor, method):
    made = secret_bits_per_s(method, qber, load)
    for field in ("arriving_bits_per_s", "waiting_bits", "in_conversation_bits", "cores"):
        larger = replace(load, **{field: getattr(load, field) * factor})
        assert secret_bits_per_s(method, qber, larger) >= made * (1 - 1e-12)
    slower = replace(load, round_trip_s=load.round_trip_s * factor)
    assert secret_bits_per_s(method, qber, slower) <= made * (1 + 1e-12)


def test_a_long_line_with_little_memory_takes_ldpc_and_a_short_one_cascade():
    load = Load(10e6, 0, 1e7, 0.0005)
    assert choose_method(0.02, STRING_BITS, load) == "cascade"
    assert choose_method(0.02, STRING_BITS, replace(load, round_trip_s=0.1)) == "ldpc"
    idle = Load(1e3, 0, 1e7, 0.1)
    assert choose_method(0.02, STRING_BITS, idle) == "cascade"


def test_codes_are_not_chosen_where_the_budget_cannot_carry_them() -> None:
    far = Load(1e9, 1e9, in_conversation_bits=STRING_BITS, round_trip_s=0.1)
    assert choose_method(0.02, STRING_BITS, far) == "ldpc"
    tight = 1.08 * STRING_BITS * binary_entropy(0.02)
    assert choose_method(0.02, STRING_BITS, far, leakage_budget_bits=tight) == "cascade"
    ample = 1.25 * STRING_BITS * binary_entropy(0.02)
    assert choose_method(0.02, STRING_BITS, far, leakage_budget_bits=ample) == "ldpc"


def test_no_code_is_forced_on_an_error_rate_beyond_all_codes() -> None:
    far = Load(1e9, 1e9, in_conversation_bits=STRING_BITS, round_trip_s=0.1)
    for qber in (0.13, 0.3, 1.0):
        assert choose_method(qber, STRING_BITS, far, forced="ldpc") == "cascade"


def plan(key_bits: int, budget_bits: int, reconciliation: str = "auto") -> BlockPlan:
    return BlockPlan(
        pairs=3 * key_bits,
        key_basis="z",
        key_bits=key_bits,
        test_bits=key_bits,
        qber_tolerance_ratio=0.1,
        leakage_budget_bits=budget_bits,
        reconciliation=reconciliation,  # type: ignore[arg-type]
    )


@given(st.integers(1_000, 10**8), st.floats(0, 1))
def test_a_budget_carries_the_error_rate_whose_leakage_it_covers_and_no_more(key_bits, share):
    budget_bits = int(share * key_bits)
    for reconciliation, leak_bits in (
        ("auto", cascade_leak_bits),
        ("cascade", cascade_leak_bits),
        ("ldpc", codes_leak_bits),
    ):
        carried = carried_qber_ratio(plan(key_bits, budget_bits, reconciliation))
        assert leak_bits(carried, key_bits) <= budget_bits
        assert leak_bits(carried + 1e-4, key_bits) > budget_bits


def test_the_budgets_of_demo_and_testbed_carry_a_little_over_three_per_cent():
    assert carried_qber_ratio(plan(83_000, 18_500)) == 0.0324
    assert carried_qber_ratio(plan(62_700, 14_000)) == 0.0324
    assert carried_qber_ratio(plan(83_000, 18_500, "ldpc")) < 0.03

"""The pure stages: frames, block sizes, permutations, hashes, amplification, threads."""

import asyncio
import hashlib
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_controller.distillation.amplification import amplify, draw_seed
from qkd_controller.distillation.confirmation import (
    confirmation_epsilon,
    confirmation_tag,
    failing_frames,
    frame_checks,
)
from qkd_controller.distillation.reconciliation import (
    Frames,
    block_sizes,
    cascade_plan,
    repair_sizes,
)
from qkd_controller.distillation.threads import in_thread
from qkd_controller.distillation.workspace import Workspace
from qkd_native.bits import BitString
from qkd_native.cascade import MAX_FRAME_BITS, tree_depth


@settings(deadline=None)
@given(st.integers(1, 10**8))
def test_frames_cover_the_string_evenly_in_whole_words(string_bits: int) -> None:
    frames = Frames(string_bits)
    assert frames.frame_bits <= MAX_FRAME_BITS
    assert frames.count <= -(-string_bits // MAX_FRAME_BITS)
    assert 0 <= frames.count * frames.frame_bits - string_bits < 64 * frames.count
    assert frames.frame_bits == string_bits or frames.frame_bits % 64 == 0


def test_chosen_frames_go_out_and_come_back() -> None:
    rng = np.random.default_rng(0)
    string = BitString.of(rng.integers(0, 2, 3 * MAX_FRAME_BITS - 1, np.uint8))
    frames = Frames(string.size)
    part = frames.gather(string, (0, 2))
    assert part.size == 2 * MAX_FRAME_BITS - 1
    changed = string.copy()
    frames.scatter(changed, (0, 2), BitString.of(part.unpacked() ^ 1))
    difference = changed.unpacked() ^ string.unpacked()
    assert np.array_equal(difference, np.repeat([1, 0, 1], MAX_FRAME_BITS)[:-1])


@pytest.mark.parametrize(
    ("qber", "first", "second"),
    [
        (0, 10, 13),
        (0.01, 6, 8),
        (0.015, 6, 7),
        (0.02, 5, 7),
        (0.03, 5, 6),
        (0.05, 4, 6),
        (0.09, 3, 6),
        (0.5, 3, 4),
    ],
)
def test_block_sizes_follow_the_error_rate(qber: float, first: int, second: int) -> None:
    sizes = block_sizes(qber, 1 << 16)
    assert sizes == (first, second, max(second, min(first + 6, 13)), 15, 15, 15)


@settings(deadline=None)
@given(st.floats(0, 0.5), st.integers(1, MAX_FRAME_BITS))
def test_every_size_fits_every_frame(qber: float, frame_bits: int) -> None:
    for sizes in (block_sizes(qber, frame_bits), repair_sizes(frame_bits)):
        assert all(0 <= size < tree_depth(frame_bits) for size in sizes)
        cascade_plan(bytes(32), frame_bits, frame_bits, sizes[:2])


def test_permutations_depend_on_seed_and_pass_and_nothing_else() -> None:
    one = cascade_plan(bytes(32), 1000, 1000, (5, 8)).orders
    again = cascade_plan(bytes(32), 1000, 1000, (5, 8)).orders
    other = cascade_plan(b"\1" + bytes(31), 1000, 1000, (5, 8)).orders
    assert np.array_equal(one, again)
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[0], other[0])


def test_permutations_are_sorted_shake_keys() -> None:
    """Spelt out anew: ends of different versions must draw the same permutations."""
    seed = bytes(range(32))
    orders = cascade_plan(seed, 1000, 1000, (5, 8)).orders
    for index in (0, 1):
        stream = hashlib.shake_256(b"qkdlink cascade pass %d " % index + seed).digest(8000)
        keys = [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(1000)]
        assert orders[index].tolist() == sorted(range(1000), key=lambda i: keys[i])


def test_confirmation_tells_strings_apart() -> None:
    rng = np.random.default_rng(1)
    string = BitString.of(rng.integers(0, 2, 1001, np.uint8))
    key = rng.bytes(16)
    tag = confirmation_tag(key, string)
    assert tag == confirmation_tag(key, string.copy())
    for bit in (0, 500, 1000):
        changed = string.copy()
        changed.words[bit // 64] ^= np.uint64(1 << bit % 64)
        assert confirmation_tag(key, changed) != tag


def test_confirmation_epsilon_of_a_large_block() -> None:
    assert confirmation_epsilon(10**7, 1) == (78_125 + 1) * 2.0**-128
    assert confirmation_epsilon(10**7, 4) < 1e-32


def test_frame_checks_find_the_frames_that_differ() -> None:
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2, 4 * MAX_FRAME_BITS, np.uint8)
    string, frames = BitString.of(bits), Frames(bits.size)
    bits[[5, MAX_FRAME_BITS * 2 + 9, MAX_FRAME_BITS * 3 - 1]] ^= 1
    changed = BitString.of(bits)
    key = rng.bytes(16)
    checks = frame_checks(key, string, frames)
    assert len(checks) == 16
    assert failing_frames(frame_checks(key, changed, frames), checks) == (0, 2)
    assert failing_frames(checks, checks) == ()
    with pytest.raises(ValueError, match="frame checks"):
        failing_frames(checks, checks[:-4])


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 30), st.integers(0, 2**32))
async def test_amplification_is_linear(rest_bits: int, key_bytes: int, seed: int) -> None:
    rng, key_bits = np.random.default_rng(seed), 8 * key_bytes + rest_bits
    hash_seed = draw_seed(key_bits)
    a, b = rng.integers(0, 2, (2, key_bits), np.uint8)
    keys, workspace = [bytearray(key_bytes) for _ in range(3)], Workspace(1 << 20)
    for string, key in zip((a, b, a ^ b), keys, strict=True):
        await amplify(BitString.of(string), hash_seed, key, workspace)
    sum_of_keys = bytes(x ^ y for x, y in zip(keys[0], keys[1], strict=True))
    assert sum_of_keys == keys[2]


async def test_a_hash_seed_is_fresh_and_of_exact_length() -> None:
    seeds = {draw_seed(1001) for _ in range(20)}
    assert len(seeds) == 20
    assert {len(seed) for seed in seeds} == {125}
    string, workspace = BitString.of(np.ones(1001, np.uint8)), Workspace(0)
    await amplify(string, seeds.pop(), bytearray(63), workspace)
    with pytest.raises(ValueError, match="seed"):
        await amplify(string, seeds.pop()[:-1], bytearray(63), workspace)


async def test_a_cancelled_caller_outlasts_its_thread() -> None:
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.01)
    assert not done
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()

"""LDPC codes: the matrices, the sequence of parities, and the decoder against its oracle."""

import importlib.util
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_native import ldpc
from qkd_native._kernels import lib
from qkd_native.bits import BitString
from qkd_native.ldpc import COLUMNS, MAX_FRAME_BITS, Code, Decoder, base_rows
from qkd_native.tier import Tier, forced, supported

ROOT = Path(__file__).parents[2]
rows = st.sampled_from(base_rows())


def matrix_of(name):
    with np.load(ROOT / "native" / "qkd_native" / "ldpc_codes.npz") as loaded:
        return loaded[str(name)]


def noisy_pair(bits, error_rate, seed):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, bits, np.uint8)
    return truth, truth ^ (draw.random(bits) < error_rate).astype(np.uint8)


def test_the_matrices_are_what_their_construction_gives():
    spec = importlib.util.spec_from_file_location(
        "construct", ROOT / "native" / "codes" / "construct.py"
    )
    construct = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(construct)
    assert base_rows() == construct.ROWS
    for count in construct.ROWS[:2]:
        assert np.array_equal(matrix_of(count), construct.base_matrix(count))


@pytest.mark.parametrize("count", base_rows())
def test_a_matrix_cut_after_any_column_is_regular_by_rows(count):
    matrix = matrix_of(count)
    for columns in (COLUMNS // 2, 3 * COLUMNS // 4, COLUMNS):
        weights = np.bincount(matrix[matrix[:, 1] < columns, 0], minlength=count)
        assert weights.min() >= 3 and weights.max() <= min(weights.min() + 2, 128)
    assert len(np.unique(matrix[:, :2], axis=0)) == len(matrix)


def naive_parities(code, bits, first, last):
    whole = np.zeros((code.columns, code.size), np.uint8)
    whole.reshape(-1)[: bits.size] = bits
    found = []
    for block in range(first, last):
        matrix = matrix_of(code.rows)
        row = matrix[(matrix[:, 0] == block % code.rows) & (matrix[:, 1] < code.columns)]
        row = row[np.argsort(row[:, 1])][:: 1 if block < code.rows else 2]
        terms = [np.roll(whole[column], -int(shift)) for _, column, shift in row]
        found.append(np.bitwise_xor.reduce(terms))
    return np.concatenate(found)


@settings(max_examples=30, deadline=None)
@given(rows, st.integers(30_000, MAX_FRAME_BITS), st.data())
def test_parities_are_those_of_the_rows_and_then_of_their_halves(count, frame_bits, data):
    code = Code(frame_bits, count)
    first = data.draw(st.integers(0, 2 * count - 1))
    last = data.draw(st.integers(first + 1, min(first + 6, 2 * count)))
    bits, _ = noisy_pair(frame_bits, 0, first)
    found = code.parities(BitString.of(bits), first, last).unpacked()
    assert np.array_equal(found, naive_parities(code, bits, first, last))


@settings(max_examples=20, deadline=None)
@given(rows, st.integers(2000, 40_000), st.data())
def test_a_beginning_of_the_parities_is_the_syndrome_of_its_matrix(count, frame_bits, data):
    code = Code(frame_bits, count)
    blocks = count + data.draw(st.integers(0, count))
    bits, _ = noisy_pair(frame_bits, 0, count)
    checks, places = code.checks(blocks)
    whole = np.pad(bits, (0, code.columns * code.size - bits.size))
    odd = np.bincount(checks, whole[places], blocks * code.size) % 2
    syndrome = code.syndrome(code.parities(BitString.of(bits), 0, blocks))
    assert np.array_equal(syndrome.unpacked(), odd)


@settings(max_examples=25, deadline=None)
@given(rows, st.integers(2000, 40_000), st.floats(0.005, 0.12), st.data())
def test_every_tier_is_the_portable_one(count, frame_bits, error_rate, data):
    code = Code(frame_bits, count)
    blocks = count + data.draw(st.integers(0, count))
    truth, noisy = noisy_pair(frame_bits - data.draw(st.integers(0, 999)), error_rate, blocks)
    parities = code.parities(BitString.of(truth), 0, blocks)
    decoder = Decoder(code, np.full(code.decoder_words, 7, np.uint64))
    outcomes = []
    for tier in supported():
        with forced(tier):
            mended = BitString.of(noisy)
            done = decoder.decode(mended, parities, error_rate, 12)
        assert done >= 0 or np.array_equal(mended.unpacked(), noisy)
        if done >= 0:
            assert code.parities(mended, 0, blocks).differing(parities) == 0
        outcomes.append((done, mended.to_bytes()))
    assert len(set(outcomes)) == 1


@pytest.mark.parametrize(
    ("count", "frame_bits", "splits", "error_rate"),
    [
        (46, 131072, 3, 0.010),
        (66, 131072, 4, 0.016),
        (107, 131072, 4, 0.029),
        (279, 131072, 0, 0.1),
    ],
)
def test_strings_are_found_within_a_fifth_of_the_limit(count, frame_bits, splits, error_rate):
    code = Code(frame_bits, count)
    truth, noisy = noisy_pair(frame_bits, error_rate, 7)
    parities = code.parities(BitString.of(truth), 0, count + splits)
    rate = np.mean(truth ^ noisy)
    limit = frame_bits * -(rate * np.log2(rate) + (1 - rate) * np.log2(1 - rate))
    assert parities.size < 1.2 * limit
    decoder = Decoder(code)
    mended = BitString.of(noisy)
    assert decoder.decode(mended, parities, error_rate, 60) > 0
    assert np.array_equal(mended.unpacked(), truth)
    assert decoder.decode(mended, parities, error_rate, 60) == 0
    decoder.wipe()
    assert not decoder._messages.any() and not decoder._posteriors.any()


def test_too_few_parities_leave_the_string_alone():
    code = Code(50_000, 46)
    truth, noisy = noisy_pair(50_000, 0.03, 1)
    mended, parities = BitString.of(noisy), code.parities(BitString.of(truth), 0, 46)
    with forced(Tier.PORTABLE):
        assert Decoder(code).decode(mended, parities, 0.03, 3) == -1
    assert np.array_equal(mended.unpacked(), noisy)


def test_a_matrix_is_held_while_it_is_used(monkeypatch):
    """Whatever the cache keeps: two threads may make the same one, and it keeps but one."""
    code = Code(3000, base_rows()[0])
    decoder = Decoder(code)
    kept = []

    class Library:
        def __getattr__(self, name):
            return getattr(lib, name)

        def qkd_ldpc_decode(self, *arguments):
            edges, _ = ldpc._decoder(code._shape, 0).memory
            alive = weakref.ref(edges)
            del edges
            ldpc._decoder.cache_clear()
            kept.append(alive() is not None)
            return lib.qkd_ldpc_decode(*arguments)

    monkeypatch.setattr(ldpc, "lib", Library())
    bits = BitString.zeros(3000)
    decoder.decode(bits, BitString.zeros(code.rows * code.size), 0.02, 1)
    assert kept == [True]


def test_what_does_not_fit_is_refused():
    for frame_bits, count in ((0, 46), (MAX_FRAME_BITS + 1, 46), (1000, 47)):
        with pytest.raises(ValueError):
            Code(frame_bits, count)
    code = Code(1000, 46)
    bits = BitString.zeros(1000)
    for size in (0, 1001):
        with pytest.raises(ValueError, match="1 to 1000"):
            code.parities(BitString.zeros(size), 0, 1)
    with pytest.raises(ValueError, match="blocks"):
        code.parities(bits, 0, 93)
    parities = code.parities(bits, 0, 46)
    decoder = Decoder(code)
    with pytest.raises(ValueError, match="words of memory"):
        Decoder(code, np.zeros(code.decoder_words - 1, np.uint64))
    for wrong in (parities.part(0, 45 * 128), parities.part(64, parities.size)):
        with pytest.raises(ValueError, match="parities"):
            decoder.decode(bits, wrong, 0.01, 5)
    for error_rate, iterations in ((0.0, 5), (0.5, 5), (0.01, -1)):
        with pytest.raises(ValueError, match="error rate"):
            decoder.decode(bits, parities, error_rate, iterations)

"""Delta coding of detection times and back, beside NumPy and zstd."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.deltas import decode, encode

_COUNT = 1 << 16
_MEAN_TICKS = 8000
"""Detections at 1 MHz in ticks of 125 ps."""


def cases() -> Iterator[Case]:
    ticks = np.cumsum(np.random.default_rng(1).exponential(_MEAN_TICKS, _COUNT)).astype(np.int64)
    data = encode(ticks)
    entropy = np.log2(np.e * _MEAN_TICKS) / 8
    bytes_each = len(data) / _COUNT
    workload = (
        f"{_COUNT} Poisson gaps of {_MEAN_TICKS} ticks, {bytes_each:.2f} bytes each "
        f"({bytes_each / entropy:.2f} of the entropy)"
    )
    compress, decompress = _zstd(ticks)
    yield Case(
        "encode deltas",
        workload,
        lambda: encode(ticks),
        (Peer("NumPy", lambda: numpy_encode(ticks)), compress),
        "detection",
        _COUNT,
    )
    yield Case(
        "decode deltas",
        workload,
        lambda: decode(data, _COUNT),
        (Peer("NumPy", lambda: numpy_decode(data)), decompress),
        "detection",
        _COUNT,
    )


def numpy_encode(values: np.ndarray) -> bytes:
    """The same bytes."""
    rest = np.diff(values, prepend=0)
    codes = np.zeros((len(rest), 9), np.uint8)
    for place in range(9):
        codes[:, place] = rest >> (7 * place) & 0x7F
    length = 1 + sum((rest >> (7 * place)) > 0 for place in range(1, 9))
    inside = np.arange(9) < length[:, None]
    codes[np.arange(9) < length[:, None] - 1] |= 0x80
    return codes[inside].tobytes()


def numpy_decode(data: bytes) -> np.ndarray:
    """The same values, without a check of the bytes."""
    codes = np.frombuffer(data, np.uint8)
    begins = np.concatenate(([0], np.flatnonzero(codes < 0x80)[:-1] + 1))
    lengths = np.diff(begins, append=len(codes))
    place = np.arange(len(codes)) - np.repeat(begins, lengths)
    groups = (codes & 0x7F).astype(np.int64) << 7 * place
    return np.cumsum(np.add.reduceat(groups, begins))


def _zstd(values: np.ndarray) -> tuple[Peer, Peer]:
    module, missing = harness.optional("zstandard")
    if module is None:
        return Peer("zstd -1", missing=missing), Peer("zstd -1", missing=missing)
    press, release = module.ZstdCompressor(level=1), module.ZstdDecompressor()
    gaps = np.diff(values, prepend=0).astype(np.uint32)
    packed = press.compress(gaps.tobytes())
    name = f"zstd -1 of uint32 gaps, {len(packed) / len(values):.2f} bytes"

    def compress() -> bytes:
        return press.compress(np.diff(values, prepend=0).astype(np.uint32).tobytes())

    def decompress() -> np.ndarray:
        return np.cumsum(np.frombuffer(release.decompress(packed), np.uint32), dtype=np.int64)

    return Peer(name, compress), Peer(name, decompress)

"""Delta coding of detection times and back, beside NumPy and zstd."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness
from benchmarks.harness import Case, Peer

from qkd_native.deltas import decode, encode

_COUNT = 1 << 16
_BLOCK = 256
_MEAN_TICKS = 8000
"""Detections at 1 MHz in ticks of 125 ps."""


def cases() -> Iterator[Case]:
    ticks = np.cumsum(np.random.default_rng(1).exponential(_MEAN_TICKS, _COUNT)).astype(np.int64)
    data = encode(ticks)
    entropy = np.log2(np.e * _MEAN_TICKS) / 8
    assert numpy_encode(ticks) == data and np.array_equal(numpy_decode(data), ticks)
    bytes_each = len(data) / _COUNT
    workload = (
        f"{_COUNT} Poisson gaps of {_MEAN_TICKS} ticks, {bytes_each:.2f} bytes each "
        f"({bytes_each / entropy:.3f} of the entropy)"
    )
    compress, decompress = _zstd(ticks)
    limit = harness.copies_per_s(_COUNT, 8 + bytes_each)
    yield Case(
        "encode deltas",
        workload,
        lambda: encode(ticks),
        (Peer("NumPy", lambda: numpy_encode(ticks)), compress),
        "detection",
        _COUNT,
        limit,
        "as bytes copied",
    )
    yield Case(
        "decode deltas",
        workload,
        lambda: decode(data, _COUNT),
        (Peer("NumPy", lambda: numpy_decode(data)), decompress),
        "detection",
        _COUNT,
        limit,
        "as bytes copied",
    )


def numpy_encode(values: np.ndarray) -> bytes:
    """The same bytes; for whole blocks."""
    gaps = np.diff(values, prepend=0).reshape(-1, _BLOCK)
    parts = []
    for block in gaps:
        k = int(max(block.sum() // _BLOCK, 1)).bit_length() - 1
        low = block[:, None] >> np.arange(k) & 1
        ends = np.cumsum((block >> k) + 1)
        bitmap = np.zeros(ends[-1], np.uint8)
        bitmap[ends - 1] = 1
        parts += [
            bytes([k]),
            np.packbits(low.astype(np.uint8), bitorder="little").tobytes(),
            np.packbits(bitmap, bitorder="little").tobytes(),
        ]
    return b"".join(parts)


def numpy_decode(data: bytes) -> np.ndarray:
    """The same values, without a check of the bytes."""
    coding = np.frombuffer(data, np.uint8)
    gaps = []
    at = 0
    while at < len(coding):
        k, at = int(coding[at]), at + 1
        middle = at + _BLOCK * k // 8
        low = np.unpackbits(coding[at:middle], bitorder="little").reshape(_BLOCK, k) @ (
            1 << np.arange(k)
        )
        bitmap = np.unpackbits(coding[middle : middle + 3 * _BLOCK // 8], bitorder="little")
        ones = np.flatnonzero(bitmap)[:_BLOCK]
        gaps.append((np.diff(ones, prepend=-1) - 1 << k) + low)
        at = middle + int(ones[-1]) // 8 + 1
    return np.cumsum(np.concatenate(gaps))


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

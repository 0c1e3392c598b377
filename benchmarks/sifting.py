"""From both ends' tags to packed sifted bits: match, basis sift and bit packing on W1 and W2 of
`matching`, with random detectors; and the sift alone."""

from collections.abc import Iterator

import numpy as np
from benchmarks import harness, matching
from benchmarks.harness import Case, Peer

from qkd_native.bits import BitString
from qkd_native.matching import match
from qkd_native.sifting import sift, take, take_apart

_WINDOW_PS = 1000
_EVENTS = 1 << 20


def cases() -> Iterator[Case]:
    draw = np.random.default_rng(2)
    for name, span_s in (("W1", 10), ("W2", 1)):
        a, b = matching.tags(span_s)
        codes_a, codes_b = (draw.integers(0, 4, len(t), np.uint8) for t in (a, b))
        arrays = (a, codes_a, b, codes_b)
        assert all(np.array_equal(x, y) for x, y in zip(ours(*arrays), numpy(*arrays), strict=True))
        yield Case(
            "match, sift and pack",
            f"{name}, ±1 ns, packed bits of both ends and both bases",
            lambda arrays=arrays: ours(*arrays),
            (
                matching.pytimetag(a, b, "pytimetag, differences alone"),
                Peer("NumPy searchsorted, packbits", lambda arrays=arrays: numpy(*arrays)),
                Peer("qcrypto costream", quoted=matching.COSTREAM),
            ),
            "tag",
            len(a) + len(b),
            harness.read_bytes_per_s(9 * (len(a) + len(b))) / 9,
            "memory read, times and codes",
        )
    codes = draw.integers(0, 4, _EVENTS, np.uint8)
    peer = draw.integers(0, 2, _EVENTS, np.uint8)
    peer_bases = BitString.of(peer).to_bytes()
    used, bits, bases = codes.copy(), BitString.zeros(_EVENTS), BitString.zeros(_EVENTS)

    def from_codes() -> None:
        np.copyto(used, codes)
        take_apart(used, bits, bases)
        sift(bits, bases, peer_bases)

    yield Case(
        "sift",
        f"{_EVENTS} events of two even bases, codes copied and wiped, packed strings",
        from_codes,
        (Peer("NumPy", lambda: [_packed(s) for s in numpy_sift(codes, peer)]),),
        "event",
        _EVENTS,
        # A code is copied, then read and wiped; of bit, basis and the peer's, an eighth each, the
        # first two are written, all read, and what is kept is written.
        harness.copy_bytes_per_s(_EVENTS) / (2 + 2 + 7 / 8),
        "as bytes copied",
    )


def ours(
    a: np.ndarray, codes_a: np.ndarray, b: np.ndarray, codes_b: np.ndarray
) -> list[np.ndarray]:
    """Packed z and x string of a, then of b."""
    pairs = match(a, b, _WINDOW_PS)
    count = len(pairs.ia)
    ends = [(BitString.zeros(count), BitString.zeros(count)) for _ in "ab"]
    for codes, (bits, bases) in zip(
        (take(codes_a, pairs.ia), take(codes_b, pairs.ib)), ends, strict=True
    ):
        take_apart(codes, bits, bases)
    bases_a, bases_b = (bases.to_bytes() for _, bases in ends)
    strings = (*sift(*ends[0], bases_b), *sift(*ends[1], bases_a))
    return [string.packed for string in strings]


def numpy(
    a: np.ndarray, codes_a: np.ndarray, b: np.ndarray, codes_b: np.ndarray
) -> list[np.ndarray]:
    """The same strings."""
    ia, ib = matching.searchsorted(a, b)
    matched_a, matched_b = codes_a[ia], codes_b[ib]
    bases_a, bases_b = matched_a >> 1 & 1, matched_b >> 1 & 1
    strings = (*numpy_sift(matched_a, bases_b), *numpy_sift(matched_b, bases_a))
    return [_packed(string) for string in strings]


def numpy_sift(codes: np.ndarray, peer_bases: np.ndarray) -> list[np.ndarray]:
    """Bits of equal bases."""
    bases = codes >> 1 & 1
    return [codes[(bases == peer_bases) & (bases == basis)] & 1 for basis in (0, 1)]


def _packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, bitorder="little")

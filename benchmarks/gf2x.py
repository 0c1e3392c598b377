"""Toeplitz hashing of n bits to n / 2, the input bits counted: our product beside its peers."""

import math
import statistics
from collections.abc import Iterator
from functools import cache

import numpy as np
from benchmarks.harness import Case, Peer, optional, seconds
from numpy.typing import NDArray

from qkd_native.bits import BitString
from qkd_native.gf2x import toeplitz_hash, toeplitz_words
from qkd_native.mac import poly_hash
from qkd_native.tier import Tier, forced, supported

PEER_BITS = 10**6
"""cryptomite keeps a Python list of the bits: longer ones take it minutes."""

# Measured on the same machine; n x n products, the best of both libraries' own sizes.
QUOTED = {
    10**6: (Peer("gf2x with PCLMUL", quoted=205e6), Peer("bitpolymul2", quoted=500e6)),
    10**7: (Peer("gf2x with PCLMUL", quoted=121e6), Peer("bitpolymul2", quoted=370e6)),
    10**8: (Peer("gf2x with PCLMUL", quoted=101e6), Peer("bitpolymul2", quoted=237e6)),
}


def cases() -> Iterator[Case]:
    """Every tier at 10^5 to 10^8 bits; the portable one as far as it takes seconds at most."""
    for n in (10**5, 10**6, 10**7, 10**8):
        for tier in supported():
            if tier is Tier.PORTABLE and n > PEER_BITS:
                continue
            peers = QUOTED.get(n, ()) if tier is supported()[-1] else ()
            yield _case(n, tier, (*peers, *_packaged(n)) if tier is supported()[-1] else peers)


def _case(n: int, tier: Tier, peers: tuple[Peer, ...]) -> Case:
    key = BitString.from_bytes(_random(n).data, n)
    output = bytearray(n // 16)
    seed = _random(n + 8 * len(output) - 1).tobytes()
    memory = np.zeros(toeplitz_words(n, 8 * len(output)), np.uint64)

    def ours() -> None:
        with forced(tier):
            toeplitz_hash(key, seed, output, memory)

    workload = f"10^{len(str(n)) - 1} bits to half"
    return Case(
        f"amplification, {tier.name.lower()}",
        workload,
        ours,
        peers,
        "bit",
        n,
        n * _products_per_s() / _products(n),
        "its products, at the tag's rate",
    )


def _products(n: int) -> float:
    """Of GF(2^64), in three transforms of limbs of 32 bits, of the length that cannot be less."""
    points = 1.5 * n / 32
    return 1.5 * points * math.log2(points) + points


@cache
def _products_per_s() -> float:
    """Carry-less products of 64 bits a second, four a block, in the polynomial hash."""
    message = bytes(1 << 20)
    times = [seconds(lambda: poly_hash(bytes(range(16)), message)) for _ in "12345"]
    return 4 * len(message) / 16 / statistics.median(times)


def _packaged(n: int) -> tuple[Peer, ...]:
    """Peers from the package index, on the same hash."""
    if n > PEER_BITS:
        return ()
    m = n // 2
    key, seed = _bits(_random(n), n), _bits(_random(n + m - 1), n + m - 1)
    peers = []
    cryptomite, missing = optional("cryptomite")
    if cryptomite is None:
        peers.append(Peer("cryptomite", missing=missing))
    else:
        extractor = cryptomite.Toeplitz(n, m)
        lists = key.tolist(), seed.tolist()
        peers.append(Peer("cryptomite", lambda: extractor.extract(*lists)))
    signal, missing = optional("scipy.signal")
    if signal is None:
        peers.append(Peer("scipy FFT", missing=missing))
    else:
        x, y = key.astype(np.float64), seed.astype(np.float64)
        peers.append(
            Peer(
                "scipy FFT",
                lambda: np.rint(signal.fftconvolve(x, y)[n - 1 : n + m - 1]).astype(np.int64) & 1,
            )
        )
    return tuple(peers)


def _random(bits: int) -> NDArray[np.uint8]:
    packed = np.random.default_rng(bits).integers(0, 256, -(-bits // 8), np.uint8)
    if bits % 8:
        packed[-1] &= (1 << bits % 8) - 1
    return packed


def _bits(packed: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return np.unpackbits(packed, bitorder="little")[:count]

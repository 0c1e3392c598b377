"""Wegman–Carter tags: our polynomial hash beside OpenSSL's Poly1305, through Python faces."""

from collections.abc import Iterator

import numpy as np
from benchmarks.harness import Case, Peer, read_bytes_per_s
from cryptography.hazmat.primitives.poly1305 import Poly1305

from qkd_native.mac import frame_hashes, poly_hash
from qkd_native.tier import Tier, forced, supported

KEY = bytes(range(16))
CALLS = 1000
SHORT_BYTES = 64


def cases() -> Iterator[Case]:
    """Whole messages in every tier, then short ones as C sees them."""
    rng = np.random.default_rng(1)
    for size, calls in ((64, CALLS), (1024, CALLS), (16384, 100), (1 << 20, 1)):
        message = rng.bytes(size)
        for tier in supported():

            def ours(message=message, tier=tier, calls=calls) -> None:
                with forced(tier):
                    for _ in range(calls):
                        poly_hash(KEY, message)

            def openssl(message=message, calls=calls) -> None:
                for _ in range(calls):
                    Poly1305.generate_tag(2 * KEY, message)

            yield Case(
                f"tag, {tier.name.lower()}",
                f"{size} B messages in cache",
                ours,
                (Peer("OpenSSL Poly1305", openssl),),
                "B",
                size * calls,
                read_bytes_per_s(1 << 20),
                "read from cache",
            )
    yield from (_in_c(tier) for tier in supported())


def _in_c(tier: Tier) -> Case:
    """Short messages in one call, so that hardly more than C counts."""
    data = np.random.default_rng(2).integers(0, 256, SHORT_BYTES * CALLS, np.uint8)

    def ours() -> None:
        with forced(tier):
            frame_hashes(KEY, data, 8 * data.size, 8 * SHORT_BYTES)

    return Case(
        f"tag, {tier.name.lower()}",
        f"{SHORT_BYTES} B messages, {CALLS} in one call",
        ours,
        (Peer("libsodium, in C", quoted=1 / 72e-9), Peer("OpenSSL, in C", quoted=1 / 105e-9)),
        "message",
        CALLS,
        read_bytes_per_s(1 << 16) / SHORT_BYTES,
        "read from cache",
    )

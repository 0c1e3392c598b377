"""Wegman–Carter tags: our polynomial hash beside OpenSSL's Poly1305, through Python faces."""

from collections.abc import Iterator

import numpy as np
from benchmarks.harness import Case, Peer, read_bytes_per_s
from cryptography.hazmat.primitives.poly1305 import Poly1305

from qkd_native._kernels import ffi, lib
from qkd_native.mac import poly_hash
from qkd_native.tier import forced, supported

KEY = bytes(range(16))
CALLS = 1000


def cases() -> Iterator[Case]:
    """Whole messages in every tier, then 64 bytes as C sees them."""
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
    yield _in_c(64)


def _in_c(size: int) -> Case:
    """The bare C function; the figure still holds a call through cffi."""
    state, digest, key = bytes(16), ffi.new("uint8_t[16]"), ffi.new("uint8_t[16]", KEY)
    data, tier = bytes(size), int(supported()[-1])

    def ours() -> None:
        for _ in range(CALLS):
            lib.qkd_poly_finish(digest, state, key, data, size, size, tier)

    return Case(
        f"tag, {supported()[-1].name.lower()}",
        f"{size} B messages, most of it the call through cffi",
        ours,
        (Peer("libsodium, in C", quoted=1 / 72e-9), Peer("OpenSSL, in C", quoted=1 / 105e-9)),
        "messages",
        CALLS,
    )

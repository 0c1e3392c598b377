"""Confirming a reconciled string: the hash of the whole, and a check of each frame for repair.

The string counts by its packed bytes; one row goes by way of the stages.
"""

from collections.abc import Iterator

import numpy as np
from benchmarks.harness import Case, read_bytes_per_s

from qkd_controller.distillation.confirmation import confirmation_tag, frame_checks
from qkd_controller.distillation.reconciliation import Frames
from qkd_native.bits import BitString
from qkd_native.mac import frame_hashes, poly_hash
from qkd_native.tier import forced, supported

KEY = bytes(range(16))


def cases() -> Iterator[Case]:
    """10^7 bits in frames that end in the middle of a byte, and as the stages cut them."""
    bits = 10**7
    string = BitString.of(np.random.default_rng(1).integers(0, 2, bits, np.uint8))
    packed, frames = string.packed, Frames(bits)
    lengths = ((-(-bits // frames.count), "at any bit"), (frames.frame_bits, "of whole words"))
    for frame_bits, note in lengths:
        for tier in supported():

            def ours(frame_bits=frame_bits, tier=tier) -> None:
                with forced(tier):
                    poly_hash(KEY, packed.data)
                    frame_hashes(KEY, packed, bits, frame_bits)

            yield Case(
                f"confirm and check frames, {tier.name.lower()}",
                f"{bits} bits, {frames.count} frames {note}",
                ours,
                (),
                "B",
                packed.nbytes,
                read_bytes_per_s(1 << 20) / 2,
                "read from cache, twice",
            )

    def stages() -> None:
        confirmation_tag(KEY, string)
        frame_checks(KEY, string, frames)

    yield Case(
        "confirm and check frames, stages",
        f"{bits} bits, {frames.count} frames of whole words",
        stages,
        (),
        "B",
        packed.nbytes,
        read_bytes_per_s(1 << 20) / 2,
        "read from cache, twice",
    )

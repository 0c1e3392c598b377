"""Confirming a reconciled string: the hash of the whole, and a check of each frame for repair.

The string counts by its packed bytes; one row starts from one bit a byte, as the stages hold it.
"""

from collections.abc import Iterator

import numpy as np
from benchmarks.harness import Case, read_bytes_per_s

from qkd_controller.distillation.bits import pack_bits
from qkd_controller.distillation.confirmation import confirmation_tag, frame_checks
from qkd_controller.distillation.reconciliation import Frames
from qkd_native.mac import frame_hashes, poly_hash
from qkd_native.tier import forced, supported

KEY = bytes(range(16))
FRAME_BITS = 1 << 16


def cases() -> Iterator[Case]:
    """10^7 bits, which do not divide into whole bytes a frame, and 160 frames of 2^16."""
    for bits, note in ((10**7, "frames at any bit"), (160 * FRAME_BITS, "frames at whole bytes")):
        string = np.random.default_rng(1).integers(0, 2, bits, np.uint8)
        packed = pack_bits(string)
        frames = Frames(bits)
        for tier in supported():

            def ours(packed=packed, bits=bits, frames=frames, tier=tier) -> None:
                with forced(tier):
                    poly_hash(KEY, packed.data)
                    frame_hashes(KEY, packed, bits, frames.frame_bits)

            yield Case(
                f"confirm and check frames, {tier.name.lower()}",
                f"{bits} bits, {frames.count} {note}, packed",
                ours,
                (),
                "B",
                len(packed),
                read_bytes_per_s(1 << 20) / 2,
                "read from cache, twice",
            )

        def stages(string=string, frames=frames) -> None:
            confirmation_tag(KEY, string)
            frame_checks(KEY, string, frames)

        yield Case(
            "confirm and check frames, stages",
            f"{bits} bits, {frames.count} {note}, packed on the way",
            stages,
            (),
            "B",
            len(packed),
            read_bytes_per_s() / 16,
            "8 bytes read a packed one, twice",
        )

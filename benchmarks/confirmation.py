"""Confirming a reconciled string: the hash of the whole, a check of each frame, and the repair.

The string counts by its packed bytes; one row goes by way of the stages.
"""

from collections.abc import Iterator

import numpy as np
from benchmarks.cascade import reconcile
from benchmarks.harness import Case, read_bytes_per_s

from qkd_controller.distillation.confirmation import confirmation_tag, frame_checks
from qkd_controller.distillation.reconciliation import (
    SEED_BYTES,
    Frames,
    cascade_plan,
    repair_sizes,
)
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
    yield _repair(string, frames)


def _repair(string: BitString, frames: Frames) -> Case:
    """Cascade over the one frame that fails, by two errors that share its blocks so far."""
    wrong, failing = string.copy(), (frames.count // 2,)
    frames.part(wrong, failing[0]).words[:1] ^= np.uint64(3)
    sizes = repair_sizes(frames.frame_bits)

    def repair() -> int:
        plan = cascade_plan(bytes(SEED_BYTES), frames.frame_bits, frames.frame_bits, sizes)
        part = frames.gather(wrong, failing)
        rounds = reconcile(plan, frames.gather(string, failing), part)
        frames.scatter(mended, failing, part)
        return len(rounds)

    mended = wrong.copy()
    rounds = repair()
    assert not string.differing(mended)
    return Case(
        "repair, both ends",
        f"{string.size} bits, 1 of {frames.count} frames with 2 errors: {rounds} rounds",
        repair,
        (),
        "B",
        string.packed.nbytes,
    )

"""Privacy amplification by a modified Toeplitz hash.

The family is universal-2 (Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213 (2016)), as the
leftover hash lemma of the bound needs (Tomamichel, Schaffner, Smith and Renner, IEEE Trans. Inf.
Theory 57, 5524 (2011)).
"""

import os

from qkd_controller.distillation.threads import in_thread
from qkd_controller.distillation.workspace import Workspace
from qkd_native.bits import BitString
from qkd_native.gf2x import modified_toeplitz_hash, modified_toeplitz_words


def draw_seed(key_bits: int) -> bytes:
    """Fresh bits, at least key_bits - 1; what fills the last byte has no effect."""
    return os.urandom(-(-(key_bits - 1) // 8))


async def amplify(
    string: BitString, seed: bytes | memoryview, key: bytearray, workspace: Workspace
) -> None:
    """Fills key from a confirmed string; raises ValueError for a seed of the wrong length.

    The key is the caller's buffer, so that its owner can wipe it whatever happens meanwhile. One
    string at a time: the transforms are of five bytes a bit, and soon done.
    """
    words = modified_toeplitz_words(string.size, 8 * len(key))
    async with workspace.amplifying, workspace.lent(words) as memory:
        await in_thread(modified_toeplitz_hash, string, seed, key, memory)

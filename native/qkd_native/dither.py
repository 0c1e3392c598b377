"""Random dither: moves each detection time by a random part of the tagger's step."""

import os

import numpy as np
import numpy.typing as npt

from qkd_native._kernels import ffi, lib
from qkd_native.tier import current

Times = npt.NDArray[np.int64]


class Dither:
    """Adds to each time a whole number of ps, uniform in [0, step_ps) and independent of all else.

    The numbers come from ChaCha with eight rounds (D. J. Bernstein, SASC 2008) under a key that the
    operating system draws for each object. Attacks are known on seven rounds (the first: Aumasson
    et al., FSE 2008, at a cost of 2^248), on eight none is known to us. A peer that sees announced
    times sees a sum of the unknown true time and the dither, rounded; even from the dither itself
    it could not tell the next number, nor the key. Nothing of the stream becomes key. No value of a
    step is likelier than another by more than step_ps / 2^32 of itself.
    """

    def __init__(self, step_ps: int, key: bytes | None = None) -> None:
        """key: 32 bytes, for a test that must repeat. ValueError for a step not in 1 … 2^32 - 1."""
        if not 1 <= step_ps < 1 << 32:
            raise ValueError("a tagger's step is 1 ps to 4 ms")
        key = os.urandom(32) if key is None else key
        if len(key) != 32:
            raise ValueError("a key of the dither has 32 bytes")
        self._step_ps = step_ps
        self._state = ffi.new("qkd_dither_state *")
        ffi.memmove(self._state.key, key, len(key))

    @property
    def state(self) -> tuple[object, int]:
        """The state and the step, as a kernel takes them that dithers and does more."""
        return self._state, self._step_ps

    def add(self, times: Times, out: Times | None = None) -> Times:
        """The int64 times in ps, dithered; into out where it is given, which may be times itself.

        Raises ValueError for arrays of other types, or of unequal lengths.
        """
        out = np.empty(len(times), np.int64) if out is None else out
        if times.dtype != np.int64 or out.dtype != np.int64:
            raise ValueError("times are int64")
        if times.ndim != 1 or out.shape != times.shape or not out.flags.c_contiguous:
            raise ValueError("times and what takes them are flat and of one length")
        lib.qkd_dither(
            current(),
            self._state,
            self._step_ps,
            ffi.from_buffer("int64_t[]", np.ascontiguousarray(times)),
            len(times),
            ffi.from_buffer("int64_t[]", out),
        )
        return out

"""Test slices at the reference end: kept until the other end discloses its codes of them."""

import numpy as np
import numpy.typing as npt

from qkd_controller.acquisition.end import refuse
from qkd_controller.acquisition.slices import SliceId
from qkd_controller.distillation.sifting import compare
from qkd_controller.link.acquisition_messages import TestDisclosure, TestResult

Codes = npt.NDArray[np.uint8]

_HIGHEST_CODE = 7


class TestSlices:
    """Own codes of matched test slices, and what a disclosure says about each."""

    __test__ = False

    def __init__(self) -> None:
        self._held: dict[SliceId, tuple[Codes, float]] = {}

    @property
    def bytes_held(self) -> int:
        """Memory that the codes take."""
        return sum(len(codes) for codes, _ in self._held.values())

    def hold(self, slice_id: SliceId, codes: Codes, accidentals: float) -> None:
        """Keeps a matched slice's own codes, one a pair."""
        self._held[slice_id] = codes, accidentals

    def drop(self, slice_id: SliceId) -> None:
        """Forgets a slice, if it is here."""
        self._held.pop(slice_id, None)

    def clear(self) -> None:
        """Forgets all slices."""
        self._held.clear()

    def judge(self, message: TestDisclosure) -> TestResult:
        """Errors by basis between own and disclosed codes; the slice is then forgotten.

        Raises ProtocolError for a slice that is not here, or codes that are not its.
        """
        slice_id = SliceId(message.epoch, message.index)
        held = self._held.pop(slice_id, None)
        if held is None:
            raise refuse(f"a disclosure of slice {tuple(slice_id)}, which is no matched test slice")
        mine, accidentals = held
        theirs = np.frombuffer(message.codes, np.uint8)
        if len(theirs) != len(mine) or (len(theirs) and int(theirs.max()) > _HIGHEST_CODE):
            raise refuse(f"the disclosure of slice {tuple(slice_id)} has not its form")
        z, x = compare(mine, theirs)
        return TestResult(*slice_id, len(mine), *z, *x, accidentals)

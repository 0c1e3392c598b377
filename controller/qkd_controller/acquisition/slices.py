"""Slices of the reference stream: what they are for, and the queue of those that may become key."""

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qkd_controller.config.errors import QkdError
from qkd_controller.link.acquisition_messages import Mode, ModeChange

Codes = npt.NDArray[np.uint8]
End = Literal["reference", "announcing"]

_BYTES_A_SLICE = 200


class SliceId(NamedTuple):
    """A slice: index counts slice lengths from time zero of an epoch of the reference end."""

    epoch: int
    index: int  # type: ignore[assignment]  # a slice is no sequence to search in


@dataclass(frozen=True)
class SliceRecord:
    """What matching a slice showed; events are counted at each end over the slice."""

    slice: SliceId
    announced_epoch: int
    mode: Mode
    reference_events: int
    announced_events: int
    coincidences: int
    accidentals: float
    residual_rms_ps: float
    offset_ps: int
    drift_ppm: float


@dataclass
class SliceCounts:
    """What became of all slices so far."""

    matched: int = 0
    test: int = 0
    lost: int = 0
    unsafe: int = 0
    dropped: int = 0
    taken: int = 0
    events_dropped: int = 0
    """Announced events that fell to the byte limit before anything was said about them."""
    lost_by_cause: dict[str, int] = field(default_factory=dict)


class UnsettledSlice(QkdError):
    """A slice of which it is not known that both runs were clean."""


class ModePlan:
    """For each slice, whether it is for key or for test, as announced before it is recorded.

    Until a first change says otherwise every slice is a test.
    """

    def __init__(self, test_slice_every: int) -> None:
        self._every = test_slice_every
        self._changes: list[ModeChange] = []

    def mode(self, slice_id: SliceId) -> Mode:
        """What the slice is for."""
        if self._every and slice_id.index % self._every == 0:
            return "test"
        mode: Mode = "test"
        for change in self._changes:
            if (change.epoch, change.index) > slice_id:
                break
            mode = change.mode
        return mode

    @property
    def latest(self) -> ModeChange | None:
        """The last change announced."""
        return self._changes[-1] if self._changes else None

    def add(self, change: ModeChange) -> None:
        """Adds a change, which must not lie before the last one (ValueError)."""
        latest = self.latest
        if latest and (change.epoch, change.index) < (latest.epoch, latest.index):
            raise ValueError("a change of mode cannot lie before the last one")
        self._changes.append(change)

    def forget_before(self, slice_id: SliceId) -> None:
        """Forgets changes that a later one has replaced before this slice."""
        while len(self._changes) > 1 and (
            (self._changes[1].epoch, self._changes[1].index) <= slice_id
        ):
            del self._changes[0]

    def changes(self) -> list[ModeChange]:
        """The changes that still matter, in order."""
        return list(self._changes)


@dataclass(repr=False)
class _Entry:
    epochs: dict[End, int]
    codes: Codes


class SliceQueue:
    """Matched key slices in order, provisional until both ends' runs are known to be clean.

    Codes are raw key: whatever leaves the queue is wiped in it.
    """

    def __init__(self, counts: SliceCounts) -> None:
        self._counts = counts
        self._entries: OrderedDict[SliceId, _Entry] = OrderedDict()
        self._verdicts: dict[tuple[End, int], bool] = {}
        self._latest: dict[End, int] = {}
        self._bytes_held = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, slice_id: SliceId) -> bool:
        return slice_id in self._entries

    @property
    def bytes_held(self) -> int:
        """Memory that the slices take."""
        return self._bytes_held

    @property
    def settled_pairs(self) -> int:
        """Pairs of the settled slices that stand before any unsettled one.

        Also while another thread has the queue in hand: of a moment ago.
        """
        ready = itertools.takewhile(self._settled, tuple(self._entries.values()))
        return sum(len(entry.codes) for entry in ready)

    def settled(self) -> list[SliceId]:
        """The settled slices that stand before any unsettled one."""
        ready = []
        for slice_id, entry in self._entries.items():
            if not self._settled(entry):
                break
            ready.append(slice_id)
        return ready

    def pairs(self, slice_id: SliceId) -> int:
        """Matched pairs of a slice in the queue."""
        return len(self._entries[slice_id].codes)

    def append(self, slice_id: SliceId, announced_epoch: int, codes: Codes) -> None:
        """Adds the next slice; one of a run known to be unclean is counted and forgotten.

        The codes are the queue's from now on.
        """
        epochs: dict[End, int] = {"reference": slice_id.epoch, "announcing": announced_epoch}
        if any(self._verdicts.get(run) is False for run in epochs.items()):
            self._counts.unsafe += 1
            codes.fill(0)
        else:
            self._entries[slice_id] = _Entry(epochs, codes)
            self._bytes_held += len(codes) + _BYTES_A_SLICE
        self._latest = epochs
        self._prune()

    def verdict(self, end: End, epoch: int, clean: bool) -> None:
        """A run of one end has ended: its slices are settled, or discarded."""
        self._verdicts[end, epoch] = clean
        if not clean:
            unsafe = [s for s, e in self._entries.items() if e.epochs[end] == epoch]
            self._counts.unsafe += len(unsafe)
            for slice_id in unsafe:
                self._remove(slice_id)

    def take(self, slices: Iterable[SliceId]) -> Codes:
        """Removes these slices and returns their codes, joined.

        Raises KeyError if one is not there, UnsettledSlice if one is not settled; those that are
        there are removed all the same, since they can be of no other use.
        """
        slices = list(slices)
        entries = [self._pop(s) for s in slices]
        self._counts.taken += sum(e is not None for e in entries)
        parts: list[Codes] = [np.empty(0, np.uint8)]
        try:
            for slice_id, entry in zip(slices, entries, strict=True):
                if entry is None:
                    raise KeyError(slice_id)
                if not self._settled(entry):
                    raise UnsettledSlice(f"the runs behind slice {tuple(slice_id)} are not over")
                parts.append(entry.codes)
            return np.concatenate(parts)
        finally:
            _wipe(entry for entry in entries if entry is not None)

    def drop(self, slices: Iterable[SliceId]) -> None:
        """Forgets slices, as far as they are here, and counts them."""
        for slice_id in slices:
            self._counts.dropped += self._remove(slice_id)

    def drop_oldest(self) -> SliceId | None:
        """Forgets and counts the oldest slice; None if there is none."""
        if not self._entries:
            return None
        slice_id = next(iter(self._entries))
        self._remove(slice_id)
        self._counts.dropped += 1
        return slice_id

    def clear(self) -> None:
        """Forgets and counts all slices, and all verdicts of the peer's making."""
        self._counts.dropped += len(self._entries)
        _wipe(self._entries.values())
        self._entries.clear()
        self._bytes_held = 0
        self._verdicts.clear()
        self._latest = {}

    def _remove(self, slice_id: SliceId) -> bool:
        """Forgets a slice; whether it was there."""
        entry = self._pop(slice_id)
        if entry is None:
            return False
        _wipe([entry])
        return True

    def _pop(self, slice_id: SliceId) -> _Entry | None:
        entry = self._entries.pop(slice_id, None)
        if entry is not None:
            self._bytes_held -= len(entry.codes) + _BYTES_A_SLICE
        return entry

    def _settled(self, entry: _Entry) -> bool:
        return all(self._verdicts.get(run) for run in entry.epochs.items())

    def _prune(self) -> None:
        # Slices come in the order of both ends' epochs: older runs than those here are done with.
        oldest = next(iter(self._entries.values())).epochs if self._entries else self._latest
        for end, epoch in list(self._verdicts):
            if epoch < min(oldest[end], self._latest[end]):
                del self._verdicts[end, epoch]


def _wipe(entries: Iterable[_Entry]) -> None:
    for entry in entries:
        entry.codes.fill(0)

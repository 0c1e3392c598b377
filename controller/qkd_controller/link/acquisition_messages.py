"""What the two ends say about their tag streams: epochs, detection times, slices, test data.

All are session messages and public by protocol: times and which of them matched say nothing about
bits, and the only bits that travel are those of test slices, which never become key. Each end
speaks of its own epochs; a slice is named by the reference end's (epoch, index). Every time of a
stream is rounded down to a tick of the announce resolution.
"""

from typing import Literal

from qkd_controller.link.message import Message

Mode = Literal["key", "test"]

EVENTS_A_MESSAGE = 1 << 16
"""The most that `TimesAnnounced` may hold."""


class EpochBegun(Message, frozen=True):
    """The sender's stream runs in this epoch; at its time first_ps the host's clock read utc_ns.

    Nothing before complete_from_ps will be announced or matched: it may be gone already, and so may
    an event in the tick that it names.
    """

    epoch: int
    utc_ns: int
    first_ps: int
    complete_from_ps: int


class RunEnded(Message, frozen=True):
    """The sender's epoch has ended at end_ps; unless clean, nothing of it may become key."""

    epoch: int
    end_ps: int
    clean: bool
    cause: str


class TimesAnnounced(Message, frozen=True):
    """Detection times of the announcing end, delta-coded in ticks of the announce resolution.

    Events first_index … first_index + count - 1 of the epoch, `EVENTS_A_MESSAGE` at most; the first
    is at first_tick. Every event before complete_until_ps has been announced now.
    """

    epoch: int
    first_index: int
    first_tick: int
    count: int
    deltas: bytes
    complete_until_ps: int


class TimesReleased(Message, frozen=True):
    """The reference end needs no event of this announced epoch below index any more."""

    epoch: int
    index: int


class ModeChange(Message, frozen=True):
    """From this slice on, slices are for key or for test; sent before they are recorded."""

    mode: Mode
    epoch: int
    index: int


class SliceMatched(Message, frozen=True):
    """Which announced events of peer_epoch matched an event of this slice, in time order."""

    epoch: int
    index: int
    peer_epoch: int
    mode: Mode
    count: int
    indices: bytes
    reference_events: int
    announced_events: int
    accidentals: float
    residual_rms_ps: float
    offset_ps: int
    drift_ppm: float


class SlicesLost(Message, frozen=True):
    """These count consecutive slices were not matched, and never will be."""

    epoch: int
    index: int
    count: int
    cause: str


class TestDisclosure(Message, frozen=True):
    """All codes of a test slice, one byte a matched pair."""

    __test__ = False
    epoch: int
    index: int
    codes: bytes


class TestResult(Message, frozen=True):
    """What a test slice showed: matched pairs, equal bases and errors in each basis."""

    __test__ = False
    epoch: int
    index: int
    pairs: int
    sifted_z: int
    errors_z: int
    sifted_x: int
    errors_x: int
    accidentals: float

    @property
    def qber_ratio(self) -> float | None:
        """Errors of both bases per sifted bit; None without sifted bits."""
        sifted = self.sifted_z + self.sifted_x
        return (self.errors_z + self.errors_x) / sifted if sifted else None


class DropSlices(Message, frozen=True):
    """The sender has dropped these slices; the receiver forgets them too."""

    slices: tuple[tuple[int, int], ...]
    cause: str


ACQUISITION_MESSAGES: tuple[type[Message], ...] = (
    EpochBegun,
    RunEnded,
    TimesAnnounced,
    TimesReleased,
    ModeChange,
    SliceMatched,
    SlicesLost,
    TestDisclosure,
    TestResult,
    DropSlices,
)

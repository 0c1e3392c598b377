"""Session messages by which the two ends run the link together."""

from qkd_controller.link.message import Message


class Readiness(Message, frozen=True):
    """Whether the sender's instruments are ready, and what it can do."""

    ready: bool
    cause: str
    steers_polarisation: bool


class StateReport(Message, frozen=True):
    """The conducting end tells how far the link has come."""

    state: str
    cause: str


class AlignBegin(Message, frozen=True):
    """The end that owns the polarisation controller shall align."""

    cause: str


class AlignProbe(Message, frozen=True):
    """The controller stands at a new setting: measure it on photons detected from now on."""

    step: int


class AlignResult(Message, frozen=True):
    """Errors among the bits disclosed on test slices for one probe; all zero if none came."""

    step: int
    sifted_z: int
    errors_z: int
    sifted_x: int
    errors_x: int


class AlignEnd(Message, frozen=True):
    """Alignment is over: what was done, and the error rate it expects."""

    steps: int
    qber_ratio: float
    fault: str


class BlockCut(Message, frozen=True):
    """A block is made of these consecutive settled slices, as (epoch, index) pairs."""

    block: int
    slices: tuple[tuple[int, int], ...]


RUNNING_MESSAGES = (
    Readiness,
    StateReport,
    AlignBegin,
    AlignProbe,
    AlignResult,
    AlignEnd,
    BlockCut,
)

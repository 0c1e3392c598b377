"""Every message about a block, and what it costs.

A message checks its own lengths when it is made or decoded (ValueError), so that none carries more
bits than it is charged for. Bits are packed with bit 0 of byte 0 first and zero padding. What is
long and not secret is a view of the bytes as they came, so that it is not copied.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from qkd_controller.link.channel import Discard
from qkd_controller.link.message import BlockMessage
from qkd_controller.security.ledger import LedgerClass
from qkd_native.cascade import MAX_FRAMES, MAX_PASSES

StringName = Literal["z", "x"]
FrameNumbers = Annotated[tuple[int, ...], Meta(max_length=MAX_FRAMES)]

CHECK_BYTES = 4
TAG_BYTES = 16


class Bases(BlockMessage, frozen=True):
    """The basis of each matched event: 0 z, 1 x."""

    count: int
    bases: memoryview

    def __post_init__(self) -> None:
        _check_packed(self.count, self.bases)


class SubsetSeed(BlockMessage, frozen=True):
    """The leader's choice of which sifted bits stay, made after both ends' bases are known."""

    seed: bytes


class StringMessage(BlockMessage, frozen=True):
    """A message about one string of a block, which pays for it."""

    string: StringName

    def paid_by(self) -> str:
        return self.string


class _Told(StringMessage, frozen=True):
    """So many bits of or about the reference's string, each of which costs one."""

    ledger_class: ClassVar[LedgerClass] = LedgerClass.LEAKED
    count: int
    bits: bytes

    def __post_init__(self) -> None:
        _check_packed(self.count, self.bits)

    def cost_bits(self) -> int:
        return self.count


class CascadeBegun(StringMessage, frozen=True):
    """The corrector's fresh seed and block sizes for a run over these frames."""

    seed: bytes
    block_log2: tuple[int, ...]
    frames: FrameNumbers

    def __post_init__(self) -> None:
        # Before anything is drawn from it: a plan of millions of passes would take all memory.
        if not 1 <= len(self.block_log2) <= MAX_PASSES:
            raise ValueError(f"a run of {len(self.block_log2)} passes; 1 to {MAX_PASSES} are known")


class ParityQuestions(StringMessage, frozen=True):
    """One round's questions of all frames, as qkd_native.cascade codes them; none ends the run."""

    count: int
    nodes: memoryview

    def __post_init__(self) -> None:
        if not 0 <= self.count <= 8 * len(self.nodes):
            raise ValueError(f"{len(self.nodes)} bytes do not hold {self.count} questions")


class ParityAnswers(_Told, frozen=True):
    """The answers of one round: one parity of the reference's string each."""


class SyndromesBegun(StringMessage, frozen=True):
    """The corrector's choice of an LDPC code and of how much it first asks for."""

    frame_bits: int
    rows: int
    first_blocks: int


class ParitiesWanted(StringMessage, frozen=True):
    """Blocks first_block to last_block - 1 of these frames' parities; no frames end it."""

    first_block: int
    last_block: int
    frames: FrameNumbers


class ParitiesTold(_Told, frozen=True):
    """The parities wanted, frame after frame."""


class Confirmation(StringMessage, frozen=True):
    """A fresh hash key and the reference's hash of the whole string.

    covered_bits of the hash stand in the last term of the bound; the rest is leaked. The key itself
    is independent of the string and costs nothing.
    """

    ledger_class: ClassVar[LedgerClass] = LedgerClass.LEAKED
    key: bytes
    tag: bytes
    covered_bits: int

    def __post_init__(self) -> None:
        if len(self.key) != TAG_BYTES or len(self.tag) != TAG_BYTES:
            raise ValueError(f"a confirmation has a key and a tag of {TAG_BYTES} bytes")
        if not 0 <= self.covered_bits <= 8 * TAG_BYTES:
            raise ValueError(f"{self.covered_bits} bits of a tag cannot be covered")

    def cost_bits(self) -> int:
        return 8 * len(self.tag) - self.covered_bits


class ConfirmationVerdict(StringMessage, frozen=True):
    """Whether the corrector's string has the same hash."""

    equal: bool


class FrameChecks(StringMessage, frozen=True):
    """A fresh hash key and the reference's 32-bit hash of each frame."""

    ledger_class: ClassVar[LedgerClass] = LedgerClass.LEAKED
    key: bytes
    checks: bytes

    def __post_init__(self) -> None:
        if len(self.key) != TAG_BYTES or len(self.checks) % CHECK_BYTES:
            raise ValueError(f"frame checks have {CHECK_BYTES} bytes each under one key")

    def cost_bits(self) -> int:
        return 8 * len(self.checks)


class FailingFrames(StringMessage, frozen=True):
    """The frames whose hashes differ."""

    frames: FrameNumbers


class FramesDisclosed(_Told, frozen=True):
    """The reference's bits of the failing frames, one frame after another."""


class StringDisclosed(_Told, frozen=True):
    """The reference's whole test string."""

    ledger_class: ClassVar[LedgerClass] = LedgerClass.DISCLOSED


class ErrorCounts(BlockMessage, frozen=True):
    """How many bits of each string differed, the key string's before it was corrected."""

    z: int
    x: int


class AmplificationSeed(BlockMessage, frozen=True):
    """The leader's fresh Toeplitz seed, drawn after the key string is confirmed."""

    output_bits: int
    seed: memoryview


class Figures(BlockMessage, frozen=True):
    """What one end's books say at the end of a block; the other end's must say the same."""

    key_bits: int
    test_bits: int
    errors_z: int
    errors_x: int
    leaked_z_bits: int
    leaked_x_bits: int
    disclosed_z_bits: int
    disclosed_x_bits: int
    masked_bits: int
    messages: int
    released_bits: int


BLOCK_MESSAGES: tuple[type[BlockMessage], ...] = (
    Discard,
    Bases,
    SubsetSeed,
    StringDisclosed,
    SyndromesBegun,
    ParitiesWanted,
    ParitiesTold,
    CascadeBegun,
    ParityQuestions,
    ParityAnswers,
    Confirmation,
    ConfirmationVerdict,
    FrameChecks,
    FailingFrames,
    FramesDisclosed,
    ErrorCounts,
    AmplificationSeed,
    Figures,
)


def _check_packed(count: int, packed: bytes | memoryview) -> None:
    if count < 0 or len(packed) != -(-count // 8):
        raise ValueError(f"{count} bits do not have {len(packed)} bytes")
    if count % 8 and packed[-1] >> (count % 8):
        raise ValueError("the padding of packed bits is not zero")

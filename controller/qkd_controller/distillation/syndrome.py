"""Reconciliation by LDPC codes in few round trips, as two state machines without I/O.

The corrector asks for as many parities of every frame as its error rate calls for, decodes, and
asks for a few more of those frames that it could not decode, at most `ROUND_TRIPS` times in all:
the blind protocol of Martinez-Mateo, Elkouss and Martin, Quantum Inf. Comput. 12, 791 (2012), with
parities of ever more checks in the place of punctured bits. One request and one answer a round
trip, whatever the number of frames. A frame that is still not decoded is left as it was, and one
may be decoded wrongly: both ends confirm afterwards and repair what differs.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qkd_controller.distillation.reconciliation import frame_length
from qkd_controller.security.bounds import binary_entropy
from qkd_native.bits import WORD_BITS, BitString, Words
from qkd_native.ldpc import MAX_FRAME_BITS, Code, Decoder, base_rows

ROUND_TRIPS = 4
ITERATIONS = (40, 60, 60, 60)
"""How long a frame is tried in each round; most of those that fail do so however long."""

INCREMENTS = (0.02, 0.04, 0.12)
"""What further rounds ask for, as a share of the first syndrome."""

_SPLIT_LOSS = 0.12
"""A code with a share s of its rows split works this times s further from the Shannon limit."""
_NEAREST, _MARGIN = 1.088, 2.3
"""f of the first syndrome: so far from the limit, and so many times 1/sqrt(errors of a frame)."""
_WORKING_POINT = 1.10
"""f at which a code is expected to just work: its parities tell the error rate to decode for."""


class ParityRequest(NamedTuple):
    """Blocks first_block to last_block - 1 of the parities of these frames."""

    first_block: int
    last_block: int
    frames: tuple[int, ...]


@dataclass(frozen=True)
class SyndromePlan:
    """How a string is cut into frames, and how many blocks of parities are asked for at first.

    Equal frames, whole words if there are several, the last one shorter by less words than there
    are frames. Both ends need string_bits, frame_bits and rows; first_blocks is the corrector's
    affair. Raises ValueError for numbers that do not fit.
    """

    string_bits: int
    frame_bits: int
    rows: int
    first_blocks: int

    def __post_init__(self) -> None:
        if self.frame_bits < 1 or self.rows not in base_rows():
            raise ValueError(f"no code of {self.rows} rows for frames of {self.frame_bits} bits")
        if not self.code.rows <= self.first_blocks <= 2 * self.code.rows:
            raise ValueError(f"{self.first_blocks} blocks of a code of {self.rows} rows")
        fewest = -(-self.string_bits // MAX_FRAME_BITS)
        if (
            self.string_bits < 1
            or not fewest <= self.frames <= _most_frames(fewest)
            or self.frames * self.frame_bits - self.string_bits >= self.frames * WORD_BITS
            or (self.frames > 1 and self.frame_bits % WORD_BITS)
        ):
            raise ValueError(
                f"{self.string_bits} bits are not cut into frames of {self.frame_bits}"
            )

    @property
    def code(self) -> Code:
        """The code that all frames share."""
        return Code(self.frame_bits, self.rows)

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return -(-self.string_bits // self.frame_bits)

    @property
    def steps(self) -> tuple[int, ...]:
        """How many blocks a frame has in all after each round."""
        blocks = [self.first_blocks]
        for share in INCREMENTS:
            further = blocks[-1] + max(round(share * self.first_blocks), 1)
            blocks.append(min(further, 2 * self.rows))
        return tuple(blocks)

    def leaked_bits(self, request: ParityRequest) -> int:
        """What the answer discloses."""
        return len(request.frames) * (request.last_block - request.first_block) * self.code.size


def syndrome_plan(string_bits: int, expected_qber: float) -> SyndromePlan:
    """The plan that leaks least at first, for a string of this error rate, at most 1/4.

    Frames are as long as they can be, or a little shorter where that fits a code better.
    """
    if string_bits < 1 or not 0 <= expected_qber <= 0.25:
        raise ValueError(f"no plan for {string_bits} bits at an error rate of {expected_qber}")
    fewest = -(-string_bits // MAX_FRAME_BITS)
    most = min(_most_frames(fewest), string_bits)
    plans = [_plan(string_bits, frames, expected_qber) for frames in range(fewest, most + 1)]
    return min(plans, key=lambda plan: plan.frames * plan.first_blocks * plan.code.size)


def _most_frames(fewest: int) -> int:
    return fewest + fewest // 7 + 1


def _plan(string_bits: int, frames: int, qber: float) -> SyndromePlan:
    frame_bits = frame_length(string_bits, frames)
    leak = starting_efficiency(frame_bits, qber) * binary_entropy(qber) * frame_bits
    blocks = leak / Code(frame_bits, base_rows()[0]).size
    rows = max((rows for rows in base_rows() if rows <= blocks), default=base_rows()[0])
    blocks *= 1 + _SPLIT_LOSS * max(blocks / rows - 1, 0)
    return SyndromePlan(string_bits, frame_bits, rows, min(max(math.ceil(blocks), rows), 2 * rows))


def starting_efficiency(frame_bits: int, qber: float) -> float:
    """f of the first syndrome: further from the limit where the number of errors varies more."""
    return _NEAREST + _MARGIN / math.sqrt(max(qber * frame_bits, 100))


def _error_rate(bits: float) -> float:
    """The p below 1/4 with h(p) nearest bits."""
    low, high = 1e-4, 0.25
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if binary_entropy(middle) < bits else (low, middle)
    return low


class SyndromeCorrector:
    """Corrects its string in place: ask, hand over the answer, again.

    It works in memory of plan.code.decoder_words, by default in new. Call wipe() at the end.
    """

    def __init__(self, plan: SyndromePlan, bits: BitString, memory: Words | None = None) -> None:
        _check_string(plan, bits)
        self._plan = plan
        self._bits = bits
        self._decoder = Decoder(plan.code, memory)
        self._known: dict[int, Words] = {f: np.empty(0, np.uint64) for f in range(plan.frames)}
        self.rounds = 0
        """Round trips so far."""
        self.leaked_bits = 0

    @property
    def failing(self) -> tuple[int, ...]:
        """The frames not decoded so far."""
        return tuple(self._known)

    def ask(self) -> ParityRequest | None:
        """The next request; None once all frames are decoded or no round trip is left."""
        if not self._known or self.rounds == ROUND_TRIPS:
            return None
        steps = (0, *self._plan.steps)
        request = ParityRequest(steps[self.rounds], steps[self.rounds + 1], self.failing)
        return request if request.last_block > request.first_block else None

    def absorb(self, request: ParityRequest, packed: bytes) -> None:
        """Takes the answer to the request; raises ValueError if it is of another length."""
        count = self._plan.leaked_bits(request)
        if len(packed) != -(-count // 8):
            raise ValueError(f"{count} parities do not have {len(packed)} bytes")
        told = np.frombuffer(packed, np.uint64).reshape(len(request.frames), -1)
        code = self._plan.code
        share = request.last_block * code.size / code.frame_bits
        error_rate = _error_rate(share / _WORKING_POINT)
        for frame, further in zip(request.frames, told, strict=True):
            known = np.concatenate((self._known[frame], further))
            bits = _frame(self._plan, self._bits, frame)
            parities = BitString(known, known.size * WORD_BITS)
            if self._decoder.decode(bits, parities, error_rate, ITERATIONS[self.rounds]) < 0:
                self._known[frame] = known
            else:
                del self._known[frame]
        self.rounds += 1
        self.leaked_bits += count

    def wipe(self) -> None:
        """Clears what was worked out of the string."""
        self._decoder.wipe()


class SyndromeReference:
    """Answers for its string, each block of a frame once and in order."""

    def __init__(self, plan: SyndromePlan, bits: BitString) -> None:
        _check_string(plan, bits)
        self._plan = plan
        self._bits = bits
        self._told = [0] * plan.frames
        self.rounds = 0
        self.leaked_bits = 0

    def answer(self, request: ParityRequest) -> bytes:
        """The packed parities, frame after frame; raises ValueError for what must not be asked."""
        self.check(request)
        first, last, frames = request
        code = self._plan.code
        parities = [code.parities(_frame(self._plan, self._bits, f), first, last) for f in frames]
        for frame in frames:
            self._told[frame] = last
        self.rounds += 1
        self.leaked_bits += self._plan.leaked_bits(request)
        return BitString.joined(parities).to_bytes()

    def check(self, request: ParityRequest) -> None:
        """Raises ValueError for what must not be asked."""
        first, last, frames = request
        if not frames or list(frames) != sorted(set(frames) & set(range(self._plan.frames))):
            raise ValueError("a request names frames of the string in their order")
        if not first < last <= 2 * self._plan.rows or any(self._told[f] != first for f in frames):
            raise ValueError(f"blocks {first} to {last} do not follow those that are told")
        if self.rounds == ROUND_TRIPS:
            raise ValueError(f"more than {ROUND_TRIPS} requests")


def _frame(plan: SyndromePlan, string: BitString, frame: int) -> BitString:
    """A frame's bits, where they lie."""
    begin = frame * plan.frame_bits
    return string.part(begin, min(begin + plan.frame_bits, plan.string_bits))


def _check_string(plan: SyndromePlan, bits: BitString) -> None:
    if bits.size != plan.string_bits:
        raise ValueError(f"a string of {bits.size} bits for a plan of {plan.string_bits}")

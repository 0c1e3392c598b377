"""What a node has to reconcile and how quickly its peer answers, to choose the method by."""

import math
import time
from collections import deque

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.method import Load, Method, choose_method
from qkd_controller.distillation.report import BlockReport

REMEMBERED_BLOCKS = 8


class Pace:
    """Watches blocks come and go; the corrector's end asks it for the method of the next one.

    Before the first block is done nothing is known of round trips, and they count as none.
    """

    def __init__(self, plan: BlockPlan, window_blocks: int) -> None:
        self._plan = plan
        self._window_blocks = window_blocks
        self._opened_s: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)
        self._answers_s: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)

    def opened(self) -> None:
        """A block has been cut."""
        self._opened_s.append(time.monotonic())

    def finished(self, report: BlockReport) -> None:
        """A block has been distilled."""
        if math.isfinite(report.key_string.answer_s):
            self._answers_s.append(report.key_string.answer_s)

    def method(self, expected_qber: float, waiting_blocks: int) -> Method:
        """The method that makes most of the next block; the link file may force it."""
        plan = self._plan
        forced = None if plan.reconciliation == "auto" else plan.reconciliation
        load = Load(
            arriving_bits_per_s=plan.key_bits * self._blocks_per_s(),
            waiting_bits=plan.key_bits * waiting_blocks,
            in_conversation_bits=plan.key_bits * self._window_blocks,
            round_trip_s=min(self._answers_s, default=0.0),
        )
        return choose_method(expected_qber, plan.key_bits, load, forced)

    def _blocks_per_s(self) -> float:
        if len(self._opened_s) < 2:
            return 0.0
        span_s = self._opened_s[-1] - self._opened_s[0]
        return (len(self._opened_s) - 1) / span_s if span_s else 0.0

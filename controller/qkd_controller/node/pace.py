"""What a node has to reconcile and how quickly its peer answers, to choose the method by."""

import math
import os
import time
from collections import deque

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.method import Load, Method, choose_method
from qkd_controller.distillation.report import BlockReport

REMEMBERED_BLOCKS = 8


class Pace:
    """Watches the blocks of a link come and go, over all its sessions.

    The corrector's end asks it for the method of the next block. Before the first is done nothing
    is known of round trips, and they count as none.
    """

    def __init__(self, plan: BlockPlan, window_blocks: int) -> None:
        self.window_blocks = window_blocks
        """So many may be in conversation at once."""
        self._plan = plan
        self._cores = len(os.sched_getaffinity(0))
        self._opened_s: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)
        self._answers_s: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)

    def opened(self) -> None:
        """A block has been cut."""
        self._opened_s.append(time.monotonic())

    def finished(self, report: BlockReport) -> None:
        """A block has been distilled."""
        if math.isfinite(report.key_string.answer_s):
            self._answers_s.append(report.key_string.answer_s)

    def method(self, expected_qber: float, open_blocks: int) -> Method:
        """The method that makes most of the next block; the link file may force it.

        Blocks that wait to be cut are not counted anywhere. Where as many are open as may be, some
        do, and they are taken to be a window's worth.
        """
        plan = self._plan
        waiting_blocks = self.window_blocks if open_blocks >= self.window_blocks else 0
        forced = None if plan.reconciliation == "auto" else plan.reconciliation
        load = Load(
            arriving_bits_per_s=plan.key_bits * self._blocks_per_s(),
            waiting_bits=plan.key_bits * waiting_blocks,
            in_conversation_bits=plan.key_bits * self.window_blocks,
            round_trip_s=min(self._answers_s, default=0.0),
            cores=self._cores,
        )
        return choose_method(
            expected_qber,
            plan.key_bits,
            load,
            leakage_budget_bits=plan.leakage_budget_bits,
            forced=forced,
        )

    def _blocks_per_s(self) -> float:
        if len(self._opened_s) < 2:
            return 0.0
        span_s = self._opened_s[-1] - self._opened_s[0]
        return (len(self._opened_s) - 1) / span_s if span_s else 0.0

"""What a node has to reconcile and how quickly its peer answers, to choose the method by."""

import math
import os
import time
from collections import deque

from qkd_controller.config.link import BlockPlan
from qkd_controller.distillation.method import Load, Method, choose_method

REMEMBERED_BLOCKS = 8


class Pace:
    """Watches the blocks of a link come and go, over all its sessions.

    The corrector's end asks it for the method of the next block.
    """

    def __init__(self, plan: BlockPlan, window_blocks: int) -> None:
        self.window_blocks = window_blocks
        """So many may be in conversation at once."""
        self._plan = plan
        self._cores = len(os.sched_getaffinity(0))
        self._opened_s: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)
        self._answers_s: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)

    def begin(self) -> None:
        """From now on pairs are collected for blocks."""
        self._opened_s.clear()
        self.opened()

    def opened(self) -> None:
        """A block has been cut."""
        self._opened_s.append(time.monotonic())

    def answered(self, answer_s: float) -> None:
        """The peer has answered after so long: a round trip and a little work; inf if it did not.

        The greeting of a session tells before the first block does.
        """
        if math.isfinite(answer_s):
            self._answers_s.append(answer_s)

    def method(self, expected_qber: float, waiting_pairs: int) -> Method:
        """The method that makes most of the next block; the link file may force it.

        So many settled pairs have not been cut into blocks yet.
        """
        plan = self._plan
        forced = None if plan.reconciliation == "auto" else plan.reconciliation
        load = Load(
            arriving_bits_per_s=plan.key_bits * self._blocks_per_s(),
            waiting_bits=plan.key_bits * waiting_pairs / plan.pairs,
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

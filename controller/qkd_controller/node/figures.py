"""Running figures of one link end: rates over a sliding window, counts, latest values."""

import itertools
import time
from collections import Counter, deque
from typing import TypeVar

from qkd_controller.acquisition.end import TagEnd
from qkd_controller.acquisition.slices import SliceRecord
from qkd_controller.distillation.report import BlockReport

T = TypeVar("T")

RATE_WINDOW_S = 60.0
SHOWN_SLICES = 20
SHOWN_TEST_SLICES = 4
STALE_S = 3.0
MOST_CAUSES = 32
OTHER_CAUSES = "other causes"


class Rate:
    """Amount per second over the last minute, or since it began if that is shorter."""

    def __init__(self) -> None:
        self._amounts: deque[tuple[float, float]] = deque()
        self._begun_s: float | None = None

    def begin(self) -> None:
        """Starts the clock: from now on silence counts as zero."""
        if self._begun_s is None:
            self._begun_s = time.monotonic()

    def add(self, amount: float) -> None:
        """Counts an amount that came now."""
        self.begin()
        self._amounts.append((time.monotonic(), amount))

    def per_second(self) -> float:
        """The present rate."""
        if self._begun_s is None:
            return 0.0
        now = time.monotonic()
        while self._amounts and self._amounts[0][0] < now - RATE_WINDOW_S:
            self._amounts.popleft()
        span = min(RATE_WINDOW_S, max(now - self._begun_s, 1.0))
        return sum(amount for _, amount in self._amounts) / span


class Figures:
    """What one link end has seen and counted since it started."""

    def __init__(self, engine: TagEnd, slice_ms: int) -> None:
        self.sifted_bits = Rate()
        self.secret_bits = Rate()
        self.discarded: Counter[str] = Counter()
        self.released = 0
        self.discards_in_row = 0
        self.last_discard = ""
        self.efficiency_f: float | None = None
        self.run_s = 0.0
        self.dead_s = 0.0
        self.block = 1
        self.stage = "collecting"
        self._engine = engine
        self._slice_s = slice_ms / 1e3
        self._seen: SliceRecord | None = None
        self._seen_s = 0.0

    def begin(self) -> None:
        """Key is being made: from now on its rates count silence too."""
        self.sifted_bits.begin()
        self.secret_bits.begin()

    def released_block(self, report: BlockReport) -> None:
        """Counts a block that made key."""
        self.released += 1
        self.discards_in_row = 0
        self.secret_bits.add(report.released_bits)
        self.efficiency_f = report.key_string.efficiency

    def discarded_block(self, cause: str) -> None:
        """Counts a block that made no key."""
        # Causes have figures in them, so that there is no end of different ones.
        known = cause in self.discarded or len(self.discarded) < MOST_CAUSES
        self.discarded[cause if known else OTHER_CAUSES] += 1
        self.discards_in_row += 1
        self.last_discard = cause

    def recent(self) -> list[SliceRecord]:
        """The latest matched slices; none once matching has stopped for some seconds."""
        records = _last(self._engine.records, SHOWN_SLICES)
        latest = records[-1] if records else None
        if latest is not self._seen:
            self._seen, self._seen_s = latest, time.monotonic()
        return records if time.monotonic() - self._seen_s < STALE_S else []

    def rates_hz(self) -> tuple[float, float, float, float]:
        """Events at the time reference, events at the other end, pairs, accidental pairs."""
        records = self.recent()
        span_s = max(len(records), 1) * self._slice_s
        return (
            sum(r.reference_events for r in records) / span_s,
            sum(r.announced_events for r in records) / span_s,
            sum(r.coincidences for r in records) / span_s,
            sum(r.accidentals for r in records) / span_s,
        )

    def qber_ratio(self) -> dict[str, float | None]:
        """Error rate a basis over the latest test slices; None without sifted bits."""
        tests = _last(self._engine.test_results, SHOWN_TEST_SLICES)
        z, x = sum(t.sifted_z for t in tests), sum(t.sifted_x for t in tests)
        return {
            "z": sum(t.errors_z for t in tests) / z if z else None,
            "x": sum(t.errors_x for t in tests) / x if x else None,
        }

    def dead_share_ratio(self) -> float:
        """Share of time in which the tagger was between runs."""
        total = self.run_s + self.dead_s
        return self.dead_s / total if total else 0.0


def _last(items: "deque[T]", count: int) -> list[T]:
    return list(itertools.islice(items, max(0, len(items) - count), None))

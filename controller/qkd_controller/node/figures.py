"""Running figures of one link end: rates over a sliding window, counts, latest values."""

import time
from collections import Counter, deque

from qkd_controller.link.acquisition_messages import SliceMatched, TestResult

RATE_WINDOW_S = 60.0
SHOWN_SLICES = 20
SHOWN_TEST_SLICES = 4


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

    def __init__(self, slice_ms: int) -> None:
        self.sifted_bits = Rate()
        self.secret_bits = Rate()
        self.slices: Counter[str] = Counter()
        self.discarded: Counter[str] = Counter()
        self.released = 0
        self.efficiency_f: float | None = None
        self.run_s = 0.0
        self.dead_s = 0.0
        self.block = 0
        self.stage = "collecting"
        self.collected_pairs = 0
        self._slice_s = slice_ms / 1e3
        self._matched: deque[SliceMatched] = deque(maxlen=SHOWN_SLICES)
        self._tested: deque[TestResult] = deque(maxlen=SHOWN_TEST_SLICES)
        self._seen_s = 0.0

    def matched(self, matched: SliceMatched) -> None:
        """Takes a matched slice."""
        self._matched.append(matched)
        self._seen_s = time.monotonic()
        self.slices["matched"] += 1

    def tested(self, result: TestResult) -> None:
        """Takes the disclosed errors of a test slice."""
        self._tested.append(result)

    def forget(self) -> None:
        """Shows nothing of the past: the lock or the peer is lost."""
        self._matched.clear()

    def latest(self) -> SliceMatched | None:
        """The latest matched slice, while matching goes on."""
        return self._matched[-1] if self._matched else None

    def rates_hz(self) -> tuple[float, float, float, float]:
        """Events at the time reference, events at the other end, pairs, accidental pairs."""
        span = max(len(self._matched), 1) * self._slice_s
        return (
            sum(m.reference_events for m in self._matched) / span,
            sum(m.announced_events for m in self._matched) / span,
            sum(m.count for m in self._matched) / span,
            sum(m.accidentals for m in self._matched) / span,
        )

    def qber_ratio(self) -> dict[str, float | None]:
        """Error rate a basis over the latest test slices; None without sifted bits."""
        sifted = {
            "z": sum(t.sifted_z for t in self._tested),
            "x": sum(t.sifted_x for t in self._tested),
        }
        errors = {
            "z": sum(t.errors_z for t in self._tested),
            "x": sum(t.errors_x for t in self._tested),
        }
        return {basis: errors[basis] / n if n else None for basis, n in sifted.items()}

    def dead_share_ratio(self) -> float:
        """Share of time in which the tagger was between runs."""
        total = self.run_s + self.dead_s
        return self.dead_s / total if total else 0.0

"""Running figures of one link end: rates over a sliding window, counts, latest values."""

import time
from collections import Counter, deque

RATE_WINDOW_S = 60.0


class Rate:
    """Amount per second over the last minute, or since the first amount if that is shorter."""

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
    """What one link end has counted since it started."""

    def __init__(self) -> None:
        self.sifted_bits = Rate()
        self.secret_bits = Rate()
        self.slices: Counter[str] = Counter()
        self.discarded: Counter[str] = Counter()
        self.released = 0
        self.efficiency_f: float | None = None
        self.qber_ratio: dict[str, float] = {}
        self.singles_hz = 0.0
        self.peer_singles_hz = 0.0
        self.coincidences_hz = 0.0
        self.accidentals_hz = 0.0
        self.clock_offset_ps: int | None = None
        self.clock_drift_ppm: float | None = None
        self.clock_residual_ps: float | None = None
        self.settled_pairs = 0
        self.live_s = 0.0
        self.dead_s = 0.0
        self.block = 0
        self.stage = "waiting"

    def car_ratio(self) -> float | None:
        """Coincidences over accidentals; None without accidentals."""
        return self.coincidences_hz / self.accidentals_hz if self.accidentals_hz else None

    def dead_share_ratio(self) -> float:
        """Share of time in which the tagger was between runs."""
        total = self.live_s + self.dead_s
        return self.dead_s / total if total else 0.0

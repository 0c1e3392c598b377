"""Brings one link from ready instruments to key, and back up after each loss.

Only the time-reference end conducts: it alone sees both streams. The other end follows its
StateReport. Each loop of run() redoes just what was lost: a lost lock is sought again, a risen
error rate is aligned again, an instrument that is away is waited for.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from qkd_controller.config.link import LinkFile
from qkd_controller.distillation.method import carried_qber_ratio
from qkd_controller.link.acquisition_messages import Mode
from qkd_controller.node.alignment import AlignmentFailed, Errors
from qkd_controller.node.state import LinkState

ALARM_RETRY_S = 20.0
LOCK_GRACE_S = 3.0
"""A new run of a tagger is found again well within this time, and loses nothing meanwhile."""
WATCHED_TEST_SLICES = 3
BUDGETED_TEST_SLICES = 30
"""A block is larger than what is watched: a little too much is seen in more test slices alone."""
OVER_BUDGET_SIGMAS = 3.0
"""What stops a link that makes key, or starts an alignment.

A link exactly at the budget is above it by three sigma in 0.13 % of the windows, two of the 1440 in
a day of one-minute windows, and a few times more since they slide; at two sigma in 2.3 %, 33 a day.
At 3.0 % of a budget of 3.24 %, 21,000 bits a window make it five sigma: once in years.
"""
DOUBTED_SIGMAS = 0.0
"""Once the watch has found it over the budget: as many bits after alignment must not say so again.

Three sigma again would let a link two sigma above pass nearly always, to be stopped once more.
"""
ALARM_ENDS_SIGMAS = -2.0
"""An alarm looks again and again, so that it must not end by chance: it ends clearly below."""
MIN_WATCHED_SIFTED = 200
VERDICT_PROBES = 4
"""A verdict on the link is taken on so much more than a step of the alignment."""
CEILING_FACTOR = 1.25
_SUSPICION = ": eavesdropping or a fault in the optics; no key is made"

SliceId = tuple[int, int]


@dataclass(frozen=True)
class TestSlice:
    """The disclosed errors of one test slice."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    slice_id: SliceId
    errors: Errors


class Table(Protocol):
    """What the conductor can see and do; the link end provides it."""

    def missing(self) -> str:
        """What keeps either end from being ready; empty if nothing does."""

    def locked(self) -> bool:
        """Whether the clocks of the running epochs are known."""

    def set_mode(self, mode: Mode) -> None:
        """Announces that slices from the next one on are "test" or "key" slices."""

    def next_slice(self) -> SliceId:
        """The first slice of which no photon has been detected yet."""

    async def align(self, cause: str, probe: Callable[[], Awaitable[Errors]]) -> float:
        """Aligns at whichever end can; the error rate reached. Raises AlignmentFailed."""

    def enter(self, state: LinkState, cause: str) -> None:
        """Makes this the link's state at both ends."""


class _Fallen(Exception):
    """Something that was there is gone; the loop starts over."""


class Conductor:
    """The supervisor of one session; run() ends only by cancellation."""

    def __init__(self, table: Table, link: LinkFile) -> None:
        self._table = table
        self._limits = link.alignment
        self._key_basis = link.block.key_basis
        self._carried_ratio = carried_qber_ratio(link.block)
        self._changed = asyncio.Event()
        self._tested: deque[TestSlice] = deque(maxlen=400)
        self._accepted_ratio = 0.0
        self._budget_sigmas = OVER_BUDGET_SIGMAS
        self._keyed = False
        self._alarm_cause = ""

    def notify(self) -> None:
        """Something may have changed: readiness, lock, results."""
        self._changed.set()

    def tested(self, test: TestSlice) -> None:
        """Takes the result of a test slice."""
        self._tested.append(test)
        self._changed.set()

    async def run(self) -> None:
        """Climbs to KEYING again and again."""
        while True:
            try:
                await self._climb()
            except _Fallen:
                continue

    async def _climb(self) -> None:
        self._table.set_mode("test")
        await self._until_ready()
        if not self._table.locked():
            self._table.enter(LinkState.SYNCHRONISING, "seeking the clock offset in the photons")
        await self._until(self._table.locked, guarded_by=self._ready)
        self._table.enter(self._aligning(), "measuring the error rate on test slices")
        errors = await self._probe_or_fall()
        if self._keyed and errors.clearly_above(self._limits.alarm_above_qber_ratio):
            self._alarm_cause = _SUSPICION
        if (
            self._doubted()
            or errors.clearly_above(self._limits.start_above_qber_ratio)
            or self._over_budget(errors)
        ):
            errors = await self._align(errors)
        while hindrance := self._hindrance(errors):
            errors = await self._alarm(errors, hindrance)
        self._accepted_ratio = errors.worst_ratio()
        self._keyed, self._alarm_cause = True, ""
        self._budget_sigmas = OVER_BUDGET_SIGMAS
        self._table.set_mode("key")
        self._table.enter(LinkState.KEYING, f"error rate {errors.worst_ratio():.1%}")
        await self._watch()

    async def _until_ready(self) -> None:
        while missing := self._table.missing():
            self._table.enter(LinkState.PREPARING, missing)
            await self._next_change()

    async def _align(self, errors: Errors) -> Errors:
        cause = f"error rate {errors.worst_ratio():.1%}"
        self._table.enter(self._aligning(), f"{cause}{self._alarm_cause}")
        try:
            await self._table.align(cause, self._probe)
        except AlignmentFailed as failure:
            self._table.enter(self._aligning(), str(failure))
        return await self._probe_or_fall()

    async def _alarm(self, errors: Errors, cause: str) -> Errors:
        """Waits on test slices while the error rate is too high; tries to align now and then."""
        self._alarm_cause = cause
        self._budget_sigmas = ALARM_ENDS_SIGMAS
        self._table.enter(
            LinkState.ALARM, f"error rate {errors.worst_ratio():.1%} after alignment{cause}"
        )
        retry_at = time.monotonic() + ALARM_RETRY_S
        while time.monotonic() < retry_at:
            errors = await self._probe_or_fall()
            if not self._hindrance(errors):
                self._alarm_cause = ""
                self._table.enter(LinkState.ALIGNING, "the error rate has fallen")
                if errors.clearly_above(self._limits.start_above_qber_ratio):
                    return await self._align(errors)
                return errors
        return await self._align(errors)

    async def _watch(self) -> None:
        """Returns when key-making must stop; raises _Fallen when something is lost."""
        since = self._table.next_slice()
        # What alignment could not better is no reason to align again, short of the alarm and of
        # what makes no key: the leakage budget.
        ceiling = min(
            max(self._limits.start_above_qber_ratio, CEILING_FACTOR * self._accepted_ratio),
            self._limits.alarm_above_qber_ratio,
        )
        locked_at = time.monotonic()
        told = ""
        while True:
            await self._next_change()
            self._ready()
            if self._table.locked():
                locked_at = time.monotonic()
            elif time.monotonic() > locked_at + LOCK_GRACE_S:
                self._table.enter(LinkState.SYNCHRONISING, "lost the clock's lock")
                raise _Fallen
            tested = self._tested_since(since)
            recent = _total(tested[-WATCHED_TEST_SLICES:])
            if min(recent.sifted_z, recent.sifted_x) < MIN_WATCHED_SIFTED:
                continue
            cause = f"error rate {recent.worst_ratio():.1%} on test slices"
            over_budget = self._over_budget(_total(tested[-BUDGETED_TEST_SLICES:]))
            if over_budget:
                self._budget_sigmas = DOUBTED_SIGMAS
            if over_budget or recent.clearly_above(ceiling):
                self._table.enter(LinkState.ALIGNING, f"{cause}{over_budget}")
                return
            if cause != told:
                told = cause
                self._table.enter(LinkState.KEYING, cause)

    async def _probe(self, probes: int = 1) -> Errors:
        """Errors on photons detected from now on; what there is, if not enough come in time."""
        wanted = probes * self._limits.sifted_per_probe
        start = self._table.next_slice()
        total = Errors(0, 0, 0, 0)

        def enough() -> bool:
            nonlocal total
            total = _total(self._tested_since(start))
            return total.sifted_z + total.sifted_x >= wanted

        try:
            async with asyncio.timeout(self._limits.probe_timeout_s):
                await self._until(enough, guarded_by=self._ready)
        except TimeoutError:
            return total
        return total

    async def _probe_or_fall(self) -> Errors:
        """Errors for a verdict; where the budget is in doubt, on as much as the watch had."""
        start = self._table.next_slice()
        wanted_slices = BUDGETED_TEST_SLICES if self._doubted() else 0
        while True:
            errors = await self._probe(VERDICT_PROBES)
            if errors.sifted_z == 0 or errors.sifted_x == 0:
                self._table.enter(LinkState.SYNCHRONISING, "no coincidences on the test slices")
                raise _Fallen
            tested = self._tested_since(start)
            if len(tested) >= wanted_slices:
                return _total(tested)

    def _tested_since(self, start: SliceId) -> list[TestSlice]:
        return [t for t in self._tested if t.slice_id >= start]

    def _doubted(self) -> bool:
        """Whether the link was found over the budget, or alarmed, since it last made key."""
        return self._budget_sigmas < OVER_BUDGET_SIGMAS

    def _hindrance(self, errors: Errors) -> str:
        """Why a link with these errors makes no key; empty if it does."""
        if errors.clearly_above(self._limits.alarm_above_qber_ratio):
            return _SUSPICION
        if over_budget := self._over_budget(errors):
            return (
                f"{over_budget}; no key is made until the error rate is clearly below: "
                "the optics are better or block.leakage_budget_bits is raised at both ends"
            )
        return ""

    def _over_budget(self, errors: Errors) -> str:
        """That blocks would be discarded for their leakage; empty if not, as sure as is asked now.

        It is the key string that is reconciled: errors of the other basis cost no leakage.
        """
        if not errors.clearly_above(self._carried_ratio, self._key_basis, self._budget_sigmas):
            return ""
        return f": a block's leakage budget carries {self._carried_ratio:.2%} in {self._key_basis}"

    def _aligning(self) -> LinkState:
        """An alarm stands until the error rate has fallen, whatever is tried meanwhile.

        While a link is first brought up a high error rate is no alarm: nothing is aligned yet.
        """
        return LinkState.ALARM if self._alarm_cause else LinkState.ALIGNING

    def _ready(self) -> None:
        if self._table.missing():
            raise _Fallen

    async def _until(self, condition: Callable[[], bool], guarded_by: Callable[[], None]) -> None:
        while not condition():
            await self._next_change()
            guarded_by()

    async def _next_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()


def _total(tests: list[TestSlice]) -> Errors:
    return Errors(
        sum(t.errors.sifted_z for t in tests),
        sum(t.errors.errors_z for t in tests),
        sum(t.errors.sifted_x for t in tests),
        sum(t.errors.errors_x for t in tests),
    )

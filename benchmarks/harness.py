"""Runs a kernel against its peers in pairs, on one core, and tabulates the medians.

A family's module has a function ``cases()`` that yields `Case`s. Times are CPU times of the whole
process, pinned to one core; each round times ours and the peer one after the other, so that
the noise of a shared machine falls on both, and the ratio is the median over the rounds.
No time is ever asserted.
"""

import importlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from qkd_native import tier

ROUNDS = 9
SHORTEST_S = 0.02
"""A timing repeats its call until it has lasted this long."""


@dataclass(frozen=True)
class Peer:
    """Someone else's way to do a case's work: run here, or quoted in the case's unit per second.

    ``missing`` says why a peer that could run does not. ``work`` is set if one run does more or
    less of it than ours.
    """

    name: str
    run: Callable[[], object] | None = None
    quoted: float | None = None
    missing: str = ""
    work: float | None = None


@dataclass(frozen=True)
class Case:
    """One call of ours that does ``work`` units of work, and those to compare it with.

    ``limit`` is what the machine allows, in units per second, for the reason in ``limit_note``.
    """

    name: str
    workload: str
    ours: Callable[[], object]
    peers: tuple[Peer, ...]
    unit: str
    work: float
    limit: float | None = None
    limit_note: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the table: figures in units per second; ratio is the median of the pairs."""

    case: Case
    ours: float
    peer: str = ""
    peer_figure: float | None = None
    ratio: float | None = None
    remark: str = ""


def optional(module: str) -> tuple[ModuleType | None, str]:
    """The module, or None and the reason for a peer's ``missing``."""
    try:
        return importlib.import_module(module), ""
    except ImportError as error:
        return None, f"not run: {error}"


def pin() -> int:
    """Keeps this process on one core, the last it may use, and returns its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def seconds(run: Callable[[], object]) -> float:
    """CPU time of one call, from as many as last `SHORTEST_S`."""
    calls, start = 0, time.process_time()
    while True:
        run()
        calls += 1
        spent = time.process_time() - start
        if spent >= SHORTEST_S:
            return spent / calls


def measure(case: Case, rounds: int = ROUNDS) -> Iterator[Row]:
    """A row for each peer, or one row if there are none."""
    case.ours()
    for peer in case.peers or (Peer("–"),):
        if peer.run is None:
            ours = case.work / statistics.median(seconds(case.ours) for _ in range(rounds))
            ratio = ours / peer.quoted if peer.quoted else None
            remark = peer.missing or ("quoted" if peer.quoted else "")
            yield Row(case, ours, peer.name, peer.quoted, ratio, remark)
            continue
        peer.run()
        pairs = [(seconds(case.ours), seconds(peer.run)) for _ in range(rounds)]
        share = case.work / (peer.work or case.work)
        yield Row(
            case,
            case.work / statistics.median(ours for ours, _ in pairs),
            peer.name,
            case.work / share / statistics.median(theirs for _, theirs in pairs),
            statistics.median(share * theirs / ours for ours, theirs in pairs),
        )


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table that also reads well in a terminal."""
    head = ("kernel", "workload", "ours", "peer", "its figure", "ratio", "limit", "share of limit")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    drawn = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(drawn)


def machine() -> str:
    """The processor, our kernels' version, the commit and the date, for the head of a table."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    ).stdout.strip()
    date = time.strftime("%Y-%m-%d")
    return f"{cpu}, kernels {tier.name()}, commit {commit or 'unknown'}, {date}"


@cache
def copy_bytes_per_s(size: int) -> float:
    """Bytes read plus bytes written a second by a copy of ``size`` bytes."""
    source = np.ones(size // 8, np.int64)
    target = np.empty_like(source)
    np.copyto(target, source)
    return 2 * size / statistics.median(seconds(lambda: np.copyto(target, source)) for _ in "12345")


def copies_per_s(count: int, bytes_each: float) -> float:
    """Items a second, by a copy as long as what ``count`` items read and write together.

    A copy of another length would lie in another cache: its figure would be no limit.
    """
    return copy_bytes_per_s(round(count * bytes_each / 2)) / bytes_each


@cache
def read_bytes_per_s(size: int) -> float:
    """Bytes a second that a sum over ``size`` bytes reads."""
    source = np.ones(size // 8, np.int64)
    return size / statistics.median(seconds(source.sum) for _ in "12345")


@cache
def write_bytes_per_s(size: int = 1 << 26) -> float:
    """Bytes a second that filling ``size`` bytes writes."""
    target = np.empty(size // 8, np.int64)
    target.fill(0)
    return size / statistics.median(seconds(lambda: target.fill(1)) for _ in "12345")


@cache
def flops_per_s() -> float:
    """Additions and multiplications of float32 a second in NumPy's product of matrices in cache."""
    side = 512
    left, right = np.ones((side, side), np.float32), np.ones((side, side), np.float32)
    product = np.empty_like(left)
    times = [seconds(lambda: np.matmul(left, right, out=product)) for _ in "12345"]
    return 2 * side**3 / statistics.median(times)


@cache
def random_reads_per_s(size: int) -> float:
    """Bytes a second that NumPy reads one at a time, at random places of ``size`` bytes."""
    table, places = np.ones(size, np.uint8), np.random.default_rng(1).integers(0, size, 1 << 18)
    read = np.empty(len(places), np.uint8)

    def take() -> None:
        np.take(table, places, out=read, mode="clip")

    return len(places) / statistics.median(seconds(take) for _ in "12345")


def _cells(row: Row) -> tuple[str, ...]:
    case = row.case
    return (
        case.name,
        case.workload,
        _figure(row.ours, case.unit),
        row.peer,
        row.remark
        if row.peer_figure is None
        else " ".join((_figure(row.peer_figure, case.unit), row.remark)).strip(),
        "" if row.ratio is None else f"{row.ratio:.3g}",
        "" if case.limit is None else f"{_figure(case.limit, case.unit)} {case.limit_note}".strip(),
        "" if case.limit is None else f"{row.ours / case.limit:.0%}",
    )


def _figure(value: float, unit: str) -> str:
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}/s"
    return f"{value:.3g} {unit}/s"

"""Time taggers: bounded runs of tags, each with a verdict."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qkd_drivers.contract.instrument import Instrument
from qkd_drivers.errors import DeviceError


@dataclass(frozen=True)
class Tags:
    """Detection times in ps since the first word of the run, and the channel of each.

    ``times_ps`` is int64, ``channels`` uint8, of one length. A time may be less than the one
    before it by the device's ordering error (TDC1: 131 µs).
    """

    times_ps: NDArray[np.int64]
    channels: NDArray[np.uint8]


class Quality(StrEnum):
    """Whether the tags of a run may be used."""

    CLEAN = "clean"
    OVERFLOW = "overflow"
    """The device dropped tags somewhere in the run."""
    LOST = "lost"
    """The wire failed, or its bytes do not make sense."""


@dataclass(frozen=True)
class Verdict:
    """The judgement on a finished run."""

    quality: Quality
    cause: str = ""


class Run(ABC):
    """One stretch of streaming: iterate it for ``Tags``, then ask for the verdict.

    The tags are provisional until the verdict is clean. Use it as an async context: leaving early,
    by an exception or a cancellation, stops the device and leaves it usable.
    """

    utc_ns: int
    """Host UTC when the first word, time 0, arrived; known with the first ``Tags``."""
    end_ps: int
    """The time up to which the device has reported."""
    verdict: Verdict | None
    """None until the iteration has ended."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Tags]: ...

    @abstractmethod
    async def stop(self) -> None:
        """Ends the stream early; harmless after the end."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


class SteppedRun(Run):
    """A run that goes step by step; a step that meets a fault of the device ends it as lost."""

    def __init__(self) -> None:
        self.utc_ns = 0
        self.end_ps = 0
        self.verdict: Verdict | None = None

    def __aiter__(self) -> AsyncIterator[Tags]:
        return self

    async def __anext__(self) -> Tags:
        while self.verdict is None:
            try:
                tags = await self._step()
            except DeviceError as fault:
                await self._end(Verdict(Quality.LOST, str(self._told(fault))), orderly=False)
                break
            except BaseException:
                await self.stop()
                raise
            if len(tags.times_ps):
                return tags
        raise StopAsyncIteration

    async def stop(self) -> None:
        if self.verdict is None:
            await self._end(Verdict(Quality.LOST, "stopped before its end"), orderly=False)

    @abstractmethod
    async def _step(self) -> Tags:
        """The tags that come next, perhaps none; ends the run where it is over."""

    @abstractmethod
    async def _end(self, verdict: Verdict, *, orderly: bool) -> None:
        """Sets the verdict and lets go of the device, which unless orderly may still stream."""

    def _told(self, fault: DeviceError) -> DeviceError:
        """The fault with the device's name, where it lacks that."""
        return fault


class TimeTagger(Instrument):
    """A multi-channel time-to-digital converter."""

    kind = "tagger"

    channel_count: int
    resolution_ps: int

    @abstractmethod
    async def configure(self, *, level: str = "NIM", reference_clock: str = "auto") -> None:
        """Input standard (``NIM``, ``TTL`` or a threshold such as ``-0.4``) and clock source
        (``auto``, ``external``, ``internal``) of the runs to come."""

    @abstractmethod
    async def start_run(self, duration_s: float) -> Run:
        """Starts streaming for duration_s of the device's own time."""

    @abstractmethod
    async def counts(self, gate_s: float) -> tuple[int, ...]:
        """Counts of each channel in one gate, for diagnosis; not while a run goes on."""

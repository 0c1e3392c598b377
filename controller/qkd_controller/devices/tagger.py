"""The actor of a time tagger: an endless stream of runs."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qkd_controller.devices.actor import DeviceActor
from qkd_controller.devices.state import State
from qkd_drivers.contract import Quality, Reading, Run, Tags, TimeTagger
from qkd_drivers.errors import DeviceError

_RATE_SPAN_PS = 1_000_000_000_000


@dataclass(frozen=True)
class RunStarted:
    """A new stream epoch; its time 0 is the first word, which arrived at utc_ns."""

    epoch: int
    utc_ns: int


@dataclass(frozen=True)
class RunEnded:
    """The verdict on an epoch: its tags may be used only if it is clean."""

    epoch: int
    end_ps: int
    clean: bool
    cause: str
    dead_s: float
    """Time without tags between the run before and this one."""


RunEvent = RunStarted | Tags | RunEnded


class TaggerActor(DeviceActor):
    """A device actor whose device streams; a failed run makes it reconnect."""

    _last_epoch = 0
    _last_word_s: float | None = None
    _counts: NDArray[np.int64]
    _counted_from_ps: int

    @property
    def resolution_ps(self) -> int:
        """The step of the device's times."""
        assert isinstance(self.device, TimeTagger)
        return self.device.resolution_ps

    async def stream(self, run_duration_s: float) -> AsyncGenerator[RunEvent, None]:
        """Run after run, for ever, over losses of the device; one consumer at a time.

        Each run is RunStarted, any number of Tags, RunEnded. Epochs rise strictly, also across
        restarts of the program as long as the host's clock does. Iterate it inside
        ``contextlib.aclosing``, so that leaving stops the device.
        """
        tagger = self.device
        assert isinstance(tagger, TimeTagger)
        while True:
            await self.until(State.READY)
            try:
                run = await tagger.start_run(run_duration_s)
            except DeviceError as error:
                self.report_fault(str(error))
                continue
            async with run:
                epoch = 0
                dead_s = 0.0
                self._counted_from_ps = 0
                self._counts = np.zeros(256, np.int64)
                async for tags in run:
                    if not epoch:
                        epoch, dead_s = self._new_epoch()
                        yield RunStarted(epoch, run.utc_ns)
                    self._count(run, tags)
                    self._last_word_s = time.monotonic()
                    yield tags
            verdict = run.verdict
            assert verdict is not None
            if run.utc_ns:
                if not epoch:
                    epoch, dead_s = self._new_epoch()
                    yield RunStarted(epoch, run.utc_ns)
                clean = verdict.quality is Quality.CLEAN
                yield RunEnded(epoch, run.end_ps, clean, verdict.cause, dead_s)
            if verdict.quality is Quality.LOST:
                self.report_fault(verdict.cause)

    def _new_epoch(self) -> tuple[int, float]:
        now_s = time.monotonic()
        dead_s = 0.0 if self._last_word_s is None else now_s - self._last_word_s
        self._last_epoch = max(self._last_epoch + 1, time.time_ns())
        self._last_word_s = now_s
        return self._last_epoch, dead_s

    def _count(self, run: Run, tags: Tags) -> None:
        self._counts += np.bincount(tags.channels, minlength=256)
        span_ps = run.end_ps - self._counted_from_ps
        if span_ps < _RATE_SPAN_PS:
            return
        now = time.time()
        for channel in range(1, 5):
            rate_cps = float(self._counts[channel]) * 1e12 / span_ps
            self._readings[f"singles_{channel}_cps"] = Reading(rate_cps, "1/s", now)
        self._counts[:] = 0
        self._counted_from_ps = run.end_ps

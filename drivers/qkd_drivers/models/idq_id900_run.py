"""A run of an ID900: the streams of its channels, made one."""

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from qkd_drivers.contract import Quality, Run, Tags, Verdict
from qkd_drivers.errors import DeviceError, DeviceLost, DeviceProtocolError, DeviceTimeout
from qkd_drivers.framing import DataLinkWire, TimeControllerWire
from qkd_drivers.transports import ZeromqStream
from qkd_native.merge import TagMerger, tag_order

CHANNELS = (1, 2, 3, 4)
DEAD_PS = 40_000
"""Between two sub-recordings; the least that the box allows."""
REORDER_PS = 100_000_000
"""The most disorder that is allowed for, unless a box is known to keep better order."""
CHUNK_TAGS = 1 << 17
"""Tags given out at a time."""
_SILENCE_S = 3.0
_STOP_S = 1.0
_THREAD_TAGS = 1 << 14  # from here merging would hold up the event loop


@dataclass(frozen=True)
class Recording:
    """Sub-recordings one after another, in the box's own time."""

    number: int
    width_ps: int
    disorder_ps: int
    """A tag at most so far before an earlier one of its channel is passed on; one further back
    means that frames were lost, torn or garbled."""

    @classmethod
    def of(cls, duration_s: float, record_s: float, disorder_ps: int) -> "Recording":
        """As few as cover duration_s."""
        number = max(1, math.ceil(duration_s / record_s))
        return cls(number, round(record_s * 1e12), disorder_ps)

    @property
    def period_ps(self) -> int:
        return self.width_ps + DEAD_PS


@dataclass(frozen=True)
class StreamPlan:
    """Where the tags come from and go to."""

    box: str
    service_host: str
    first_port: int
    """Of channel 1, the others follow it; 0 for ports that are free."""

    def port(self, channel: int) -> int:
        return self.first_port + channel - 1 if self.first_port else free_port()


@dataclass
class _Stream:
    """One channel's acquisition in the service, and its socket."""

    channel: int
    name: str
    socket: ZeromqStream
    tags: int = 0


class Id900Run(Run):
    """Sub-recording after sub-recording, each merged by time once all channels have sent theirs.

    Frames wait in the sockets, one a channel, until the last has been given out: beyond that the
    service waits, and then the box, whose own losses the verdict tells.
    """

    def __init__(
        self,
        wire: TimeControllerWire,
        service: DataLinkWire,
        plan: StreamPlan,
        recording: Recording,
    ) -> None:
        self.utc_ns = 0
        self.end_ps = 0
        self.verdict: Verdict | None = None
        self._wire = wire
        self._service = service
        self._plan = plan
        self._recording = recording
        self._streams: list[_Stream] = []
        self._done = 0
        self._merger: TagMerger | None = None
        self._coming: asyncio.Task[list[memoryview]] | None = None

    async def begin(self) -> None:
        """Opens the streams and starts the recording."""
        try:
            await self._prepare()
            for channel in CHANNELS:
                self._streams.append(await self._open_stream(channel))
                await self._wire.set(f"RAW{channel}:SEND", True)
                self._verify_held()
            asked_ns = time.time_ns()
            await self._wire.order("REC:PLAY")
            self.utc_ns = (asked_ns + time.time_ns()) // 2
            self._verify_held()
        except BaseException:
            await self._end(Verdict(Quality.LOST, "not started"), orderly=False)
            raise
        self._coming = asyncio.create_task(self._receive())

    def __aiter__(self) -> AsyncIterator[Tags]:
        return self

    async def __anext__(self) -> Tags:
        while self.verdict is None:
            try:
                tags = await self._next()
            except DeviceError as error:
                fault = str(error.about(self._wire.device, "stream"))
                await self._end(Verdict(Quality.LOST, fault), orderly=False)
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

    async def abandon(self) -> None:
        """Lets go of the sockets; box and service go on as they are."""
        if self.verdict is None:
            self.verdict = Verdict(Quality.LOST, "the connection was closed")
        await self._let_go()

    def _verify_held(self) -> None:
        """Raises DeviceLost if the run was abandoned: its wires are somebody else's by now."""
        if self.verdict is not None:
            raise DeviceLost(f"{self._wire.device}: {self.verdict.cause}")

    async def _prepare(self) -> None:
        recording = self._recording
        await self._wire.set("REC:TRIG:ARM:MODE", "MANUAL")
        await self._wire.set("REC:ENAB", True)
        await self._wire.set("REC:NUM", recording.number)
        # Together: alone, either may be at odds with what the box still holds of the other.
        await self._wire.order(f"REC:PWID {recording.width_ps};PPER {recording.period_ps}")
        for header, wanted in (("PWID", recording.width_ps), ("PPER", recording.period_ps)):
            held = await self._wire.ask_number(f"REC:{header}?")
            if held != wanted:
                raise DeviceProtocolError(f"the box holds REC:{header} {held:g}, not {wanted}")

    async def _open_stream(self, channel: int) -> _Stream:
        plan = self._plan
        port = plan.port(channel)
        await self._wire.order(f"RAW{channel}:ERRORS:CLEAR")
        answer = await self._service.ask(
            f"start-stream --address {plan.box} --channel {channel} --stream-port {port}"
        )
        if not isinstance(answer, dict) or "id" not in answer:
            raise DeviceProtocolError(f"the service names no acquisition: {answer!r}")
        address = f"{self._wire.device}: stream {channel}"
        stream = _Stream(channel, str(answer["id"]), ZeromqStream(address, plan.service_host, port))
        try:
            await stream.socket.open()
        except BaseException:
            self._streams.append(stream)  # so that its acquisition is ended too
            raise
        return stream

    async def _receive(self) -> list[memoryview]:
        """The frames of one sub-recording, one a channel."""
        patience_s = self._recording.width_ps / 1e12 + _SILENCE_S
        return await asyncio.gather(
            *(stream.socket.receive(timeout_s=patience_s) for stream in self._streams)
        )

    async def _next(self) -> Tags:
        if self._merger is None or not self._merger.left:
            self.end_ps = self._done * self._recording.period_ps
            if self._coming is None:
                return await self._finish()
            coming = self._coming
            await asyncio.wait({coming})
            if coming.cancelled():
                raise DeviceLost("the connection was closed")
            self._coming = None
            frames = coming.result()
            await _off_loop(sum(len(frame) for frame in frames) // 8, self._admit, frames)
            if self._done < self._recording.number:
                self._coming = asyncio.create_task(self._receive())
        merger = self._merger
        assert merger is not None
        times, channels = await _off_loop(merger.left, merger.take, CHUNK_TAGS)
        if len(times):
            self.end_ps = max(self.end_ps, int(times[-1]))
        return Tags(times, channels)

    def _admit(self, frames: list[memoryview]) -> None:
        """Takes frames that can be what they should be; DeviceProtocolError else."""
        recording = self._recording
        for stream, frame in zip(self._streams, frames, strict=True):
            where = f"channel {stream.channel}, sub-recording {self._done + 1}"
            if len(frame) % 8:
                raise DeviceProtocolError(f"{where}: {len(frame)} bytes are no whole tags")
            order = tag_order(frame)
            if order.largest_ps >= recording.width_ps + DEAD_PS:
                raise DeviceProtocolError(
                    f"{where}: a tag at {order.largest_ps} ps lies beyond its end"
                )
            if order.step_back_ps > recording.disorder_ps:
                raise DeviceProtocolError(
                    f"{where}: a tag lies {order.step_back_ps} ps before an earlier one"
                )
            stream.tags += len(frame) // 8
        self._merger = TagMerger(frames, self._done * recording.period_ps)
        self._done += 1

    async def _finish(self) -> Tags:
        """The recording is over: what box and service say of it makes the verdict."""
        losses = []
        gaps = []
        for stream in self._streams:
            gaps += await self._close_stream(stream)
            await self._wire.set(f"RAW{stream.channel}:SEND", False)
            errors = int(await self._wire.ask_number(f"RAW{stream.channel}:ERRORS?"))
            if errors:
                losses.append(f"RAW{stream.channel}:ERRORS? {errors}")
        if gaps:
            verdict = Verdict(Quality.LOST, f"tags are missing or wrong: {'; '.join(gaps)}")
        elif losses:
            verdict = Verdict(Quality.OVERFLOW, f"the device dropped tags ({', '.join(losses)})")
        else:
            verdict = Verdict(Quality.CLEAN)
        await self._end(verdict, orderly=True)
        merger = self._merger
        assert merger is not None
        return Tags(*merger.take(0))

    async def _close_stream(self, stream: _Stream) -> list[str]:
        """Ends an acquisition; what its status says that the frames do not bear out."""
        gaps = []
        with contextlib.suppress(DeviceTimeout):
            await stream.socket.receive(timeout_s=0.0)
            gaps.append(f"channel {stream.channel}: a frame more than sub-recordings")
        answer = await self._service.ask(f"stop --id {stream.name}")
        status: Any = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise DeviceProtocolError(f"'stop --id {stream.name}': no status in {answer!r}")
        for error in status.get("errors") or ():
            said = error.get("description") if isinstance(error, dict) else error
            gaps.append(f"channel {stream.channel}: the service says {said!r}")
        for name, ours in (
            ("acquisitions_count", self._recording.number),
            ("timestamps_count", stream.tags),
        ):
            if status.get(name, ours) != ours:
                gaps.append(f"channel {stream.channel}: {name} {status[name]}, here {ours}")
        return gaps

    async def _end(self, verdict: Verdict, *, orderly: bool) -> None:
        abandoned = self.verdict is not None
        self.verdict = self.verdict or verdict
        try:
            if not orderly and not abandoned:
                with contextlib.suppress(DeviceError, TimeoutError):
                    async with asyncio.timeout(_STOP_S):
                        await self._stop_all()
        finally:
            await self._let_go()

    async def _stop_all(self) -> None:
        await self._wire.order("REC:STOP")
        for stream in self._streams:
            await self._wire.order(f"RAW{stream.channel}:SEND OFF")
        for stream in self._streams:
            await self._service.ask(f"stop --id {stream.name}")

    async def _let_go(self) -> None:
        coming, self._coming = self._coming, None
        try:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})
                if not coming.cancelled():
                    coming.exception()  # in the verdict already, or nobody's business any more
        finally:
            await asyncio.gather(*(stream.socket.close() for stream in self._streams))


async def _off_loop(tags: int, work: Any, *args: Any) -> Any:
    return work(*args) if tags < _THREAD_TAGS else await asyncio.to_thread(work, *args)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])

"""A run of an ID900: the streams of its channels, made one."""

import asyncio
import contextlib
import math
import socket
import time
from dataclasses import dataclass
from typing import Any

from qkd_drivers.contract import Quality, SteppedRun, Tags, Verdict
from qkd_drivers.errors import DeviceError, DeviceLost, DeviceProtocolError, DeviceTimeout
from qkd_drivers.framing import DataLinkWire, TimeControllerWire
from qkd_drivers.transports import ZeromqStream
from qkd_native.merge import TagMerger

CHANNELS = (1, 2, 3, 4)
DEAD_PS = 40_000
"""Between two sub-recordings; the least that the box allows."""
REORDER_PS = 100_000_000
"""The most disorder that is allowed for, unless a box is known to keep better order."""
PIECE_TAGS = 1 << 19
"""Tags of a channel that are read at a time: 4 MB, since each call costs as much as 0.1 MB."""
CHUNK_TAGS = 1 << 17
"""Tags given out at a time."""
_SILENCE_S = 3.0
_STOP_S = 1.0
_HOLD_S = 1e-3


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


class Id900Run(SteppedRun):
    """Sub-recording after sub-recording, the frames of its channels merged by time as they come.

    What is not asked for stays in the sockets: beyond what the kernel holds the service waits, and
    then the box, whose own losses the verdict tells. A piece is read in up to 0.6 ms and a chunk
    merged in 0.15, on the event loop: a turn through a thread costs as much.
    """

    def __init__(
        self,
        wire: TimeControllerWire,
        service: DataLinkWire,
        plan: StreamPlan,
        recording: Recording,
    ) -> None:
        super().__init__()
        self._wire = wire
        self._service = service
        self._plan = plan
        self._recording = recording
        self._streams: list[_Stream] = []
        self._merger = TagMerger(
            PIECE_TAGS,
            CHUNK_TAGS,
            limit_ps=recording.width_ps + DEAD_PS,
            reorder_ps=recording.disorder_ps,
        )
        self._begun = 0
        self._at_hand = False
        self._shared_s = 0.0

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

    def abandon(self) -> None:
        """Lets go of the sockets; box and service go on as they are."""
        if self.verdict is None:
            self.verdict = Verdict(Quality.LOST, "the connection was closed")
        self._let_go()

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

    async def _step(self) -> Tags:
        if self._at_hand:
            await self._share()
        elif not self._merger.done:
            await self._read()
        elif self._begun < self._recording.number:
            await self._begin_record()
        else:
            await self._finish()
        try:
            tags = Tags(*self._merger.take())
        except ValueError as error:
            raise DeviceProtocolError(f"sub-recording {self._begun}, {error}") from None
        self._at_hand = len(tags.times_ps) == CHUNK_TAGS
        if self._merger.done:
            self.end_ps = self._begun * self._recording.period_ps
        elif len(tags.times_ps):
            self.end_ps = max(self.end_ps, int(tags.times_ps[-1]))
        return tags

    async def _begin_record(self) -> None:
        """Waits for the frames of the next sub-recording, one a channel."""
        recording, sizes = self._recording, []
        for stream in self._streams:
            patience_s = recording.width_ps / 1e12 + _SILENCE_S
            sizes.append(await stream.socket.begin(timeout_s=patience_s))
            stream.tags += sizes[-1] // 8
        self._begun += 1
        try:
            self._merger.begin(sizes, (self._begun - 1) * recording.period_ps)
        except ValueError as error:
            raise DeviceProtocolError(f"sub-recording {self._begun}, {error}") from None

    async def _read(self) -> None:
        """The next piece of each channel that wants one."""
        for stream in self._streams:
            if room := self._merger.room(stream.channel):
                await self._share()
                await stream.socket.read_into(room, timeout_s=_SILENCE_S)
                self._merger.came(stream.channel, len(room))

    async def _share(self) -> None:
        """Lets others have the event loop now and then, since a full socket never waits."""
        if time.monotonic() > self._shared_s + _HOLD_S:
            await asyncio.sleep(0)
            self._shared_s = time.monotonic()

    async def _finish(self) -> None:
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

    async def _close_stream(self, stream: _Stream) -> list[str]:
        """Ends an acquisition; what its status says that the frames do not bear out."""
        gaps = []
        with contextlib.suppress(DeviceTimeout):
            await stream.socket.begin(timeout_s=0.0)
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
            self._let_go()

    async def _stop_all(self) -> None:
        await self._wire.order("REC:STOP")
        for stream in self._streams:
            await self._wire.order(f"RAW{stream.channel}:SEND OFF")
        for stream in self._streams:
            await self._service.ask(f"stop --id {stream.name}")

    def _told(self, fault: DeviceError) -> DeviceError:
        return fault.about(self._wire.device, "stream")

    def _let_go(self) -> None:
        for stream in self._streams:
            stream.socket.close()


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])

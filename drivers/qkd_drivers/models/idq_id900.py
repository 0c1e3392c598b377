"""ID Quantique ID900 and ID1000: time controllers with four inputs, over ZeroMQ.

Commands as in the maker's public Python examples (``utils/common.py``, ``utils/acquisitions.py``,
the example that merges streams) and the user manual, pages 69, 77 and 88. The box itself takes
settings; a service on a host (DataLinkTargetService) takes its tags and streams them.

The box hands its tags over when a recording ends. A run is therefore made of sub-recordings, each
followed by 40 ns in which nothing is recorded; their times begin at 0 again, and of each, every
channel sends one frame, be it empty.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from qkd_drivers.contract import Identity, Limits, Reading, Run, TimeTagger
from qkd_drivers.errors import DeviceError, DeviceLost, DeviceProtocolError, DeviceRefused
from qkd_drivers.framing import DataLinkWire, TimeControllerWire, Trace
from qkd_drivers.identity import scpi_identity, verify_model
from qkd_drivers.models.idq_id900_run import (
    CHANNELS,
    REORDER_PS,
    Id900Run,
    Recording,
    StreamPlan,
)
from qkd_drivers.transports import make_transport, split_host, split_options

LARGEST_LEVEL_V = 2.0
"""Of a threshold, either sign."""
SERVICE = "localhost:6060"
LEAST_RECORD_S = 0.2
_LEVELS = {"NIM": -0.4, "TTL": 1.0}
_MARK = re.compile(r"ID-?(900|1000)", re.IGNORECASE)
_UNITS_PS = {"ps": 1, "ns": 1000}
_COUNT_MARGIN_S = 0.03
_COARSEST_PS = 100


@dataclass(frozen=True)
class _Options:
    """What an address says after its ``?``."""

    service: str = SERVICE
    stream_port: int = 0
    record_s: float = LEAST_RECORD_S
    resolution_ps: int = _COARSEST_PS
    disorder_ps: int = REORDER_PS
    integration: str = "ps"
    delays_ps: tuple[int, ...] = field(default=(0, 0, 0, 0))

    def __post_init__(self) -> None:
        if self.record_s < LEAST_RECORD_S:
            raise ValueError(
                f"record_s={self.record_s:g}: the box takes {LEAST_RECORD_S:g} or more"
            )
        if self.integration not in _UNITS_PS:
            raise ValueError(f"integration={self.integration}: want {' or '.join(_UNITS_PS)}")
        if len(self.delays_ps) != len(CHANNELS) or min(self.delays_ps) < 0:
            raise ValueError("delays_ps takes four delays, none below 0")
        if not 0 <= self.disorder_ps <= REORDER_PS:
            raise ValueError(f"disorder_ps={self.disorder_ps}: want 0 to {REORDER_PS}")


class IdqId900(TimeTagger):
    """One time controller and the service that streams its tags."""

    channel_count = len(CHANNELS)
    static_limits: ClassVar[Mapping[str, Limits]] = {
        "level": Limits(-LARGEST_LEVEL_V, LARGEST_LEVEL_V)
    }

    def __init__(self, address: str, name: str, trace: Trace | None = None) -> None:
        self.name = name
        self.identity = Identity("")
        plain, given = split_options(address, *_READERS)
        self._options = _read_options(address, given)
        where, _ = split_options(plain, "numbered")
        self._box, _ = split_host(where)
        self._service_host, _ = split_host(f"zeromq:{self._options.service}")
        self.resolution_ps = self._options.resolution_ps
        self._wire = TimeControllerWire(make_transport(plain), name, trace)
        service = make_transport(f"zeromq:{self._options.service}{plain.removeprefix(where)}")
        self._service = DataLinkWire(service, f"{name}: its service", trace)
        self._service_open = False
        self._threshold_v: float | None = None
        self._run: Id900Run | None = None

    async def connect(self) -> None:
        self._service_open = False
        await self._wire.open()
        self.identity = scpi_identity(await self._wire.ask("*IDN?"))
        mark = _MARK.search(self.identity.model)
        verify_model(self.name, self.identity, mark[0].upper() if mark else "ID900")

    async def close(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.abandon()
        try:
            await self._service.close()
        finally:
            await self._wire.close()

    async def readings(self) -> dict[str, Reading]:
        now = time.time()
        return {
            f"threshold_{n}_v": Reading(await self._wire.ask_number(f"INPU{n}:THRE?"), "V", now)
            for n in CHANNELS
        }

    async def configure(self, *, level: str = "NIM", reference_clock: str = "auto") -> None:
        """Sets all inputs and the way of their tags; ends what another program left running."""
        threshold_v = _threshold_v(level)
        if reference_clock != "auto":
            raise ValueError(
                f"reference_clock {reference_clock!r}: no public command of this box chooses its "
                "clock; want auto"
            )
        await self._end_others()
        coarse_ps = await self._wire.ask_number("DEVI:RES:BWID?")
        if coarse_ps > self.resolution_ps:
            raise DeviceRefused(
                f"{self.name}: the box counts in steps of {coarse_ps:g} ps: say "
                f"resolution_ps={coarse_ps:g} in its address, or choose a finer mode"
            )
        for channel in CHANNELS:
            await self._set_input(channel, threshold_v)
        self._threshold_v = threshold_v

    async def start_run(self, duration_s: float) -> Run:
        if not duration_s > 0:
            raise ValueError(f"duration_s = {duration_s} is not positive")
        if self._threshold_v is None:
            await self.configure()
        await self._end_others()
        options = self._options
        recording = Recording.of(duration_s, options.record_s, options.disorder_ps)
        plan = StreamPlan(self._box, self._service_host, options.stream_port)
        run = self._run = Id900Run(self._wire, self._service, plan, recording)
        await run.begin()
        try:
            await self._verify_settings()  # a restart from now on ends the recording
        except BaseException:
            await run.stop()
            raise
        return run

    async def counts(self, gate_s: float) -> tuple[int, ...]:
        """Of one period of the inputs' own counters that began after the call."""
        Limits(1e-3, 1000).check("gate_s", gate_s)
        gate = round(gate_s * 1e12) // _UNITS_PS[self._options.integration]
        for channel in CHANNELS:
            await self._wire.set(f"INPU{channel}:COUN:MODE", "CYCL")
            await self._wire.set(f"INPU{channel}:COUN:INTE", gate)
        # The counters run by themselves: the period under way when asked is not ours.
        await asyncio.sleep(2 * gate_s + _COUNT_MARGIN_S)
        return tuple([await self._count(channel) for channel in CHANNELS])

    async def _count(self, channel: int) -> int:
        count = await self._wire.ask_number(f"INPU{channel}:COUN?")
        if count < 0 or count != int(count):
            raise DeviceProtocolError(f"{self.name}: 'INPU{channel}:COUN?': {count:g} is no count")
        return int(count)

    async def _set_input(self, channel: int, threshold_v: float) -> None:
        """An input, and its way through the blocks as the maker's own programs lay it."""
        combiner = 4 + channel
        edge = "FALLING" if threshold_v < 0 else "RISING"
        for header, value in (
            (f"INPU{channel}:ENAB", True),
            (f"INPU{channel}:COUP", "DC"),
            (f"INPU{channel}:EDGE", edge),
            (f"INPU{channel}:SELE", "UNSHAPED"),
            (f"INPU{channel}:THRE", threshold_v),
            (f"DELA{channel}:LINK", f"INPU{channel}"),
            (f"DELA{channel}:VALU", self._options.delays_ps[channel - 1]),
            (f"TSCO{combiner}:FIR:LINK", f"DELA{channel}"),
            (f"TSCO{combiner}:OPIN", "ONLYFIR"),
            (f"TSCO{combiner}:OPOU", "ONLYFIR"),
            (f"TSCO{combiner}:WIND:ENAB", False),
            (f"RAW{channel}:REF:LINK", "NONE"),
            (f"RAW{channel}:STOP:LINK", f"TSCO{combiner}"),
        ):
            await self._wire.set(header, value)

    async def _verify_settings(self) -> None:
        """A box that was switched off and on again has forgotten what it was told."""
        for channel in CHANNELS:
            held_v = await self._wire.ask_number(f"INPU{channel}:THRE?")
            if self._threshold_v is None or abs(held_v - self._threshold_v) > 5e-4:
                self._threshold_v = None
                raise DeviceLost(
                    f"{self.name}: input {channel} holds a threshold of {held_v:g} V, which is "
                    "not ours: the box has lost its settings, or another program changed them"
                )

    async def _end_others(self) -> None:
        """A recording of a program that died holds its channels for ever."""
        if not self._service_open:
            await self._service.open()
            self._service_open = True
        try:
            running = await self._service.ask("list")
            for name in running if isinstance(running, list) else ():
                if str(name).rpartition(":")[0] == self._box:
                    await self._service.ask(f"stop --id {name}")
        except DeviceError:
            self._service_open = False
            raise
        await self._wire.order("REC:STOP")


def _threshold_v(level: str) -> float:
    if level.upper() in _LEVELS:
        return _LEVELS[level.upper()]
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", level) and abs(float(level)) <= LARGEST_LEVEL_V:
        return float(level)
    raise ValueError(f"level {level!r}: want NIM, TTL or volts from -2 to 2")


_READERS = {
    "service": str,
    "stream_port": int,
    "record_s": float,
    "resolution_ps": int,
    "disorder_ps": int,
    "integration": str,
    "delays_ps": lambda text: tuple(int(word) for word in text.split(",")),
}


def _read_options(address: str, given: Mapping[str, str]) -> _Options:
    try:
        read = {name: _READERS[name](value) for name, value in given.items()}  # type: ignore[operator]
        return _Options(**read)
    except ValueError as error:
        raise ValueError(f"device address {address!r}: {error}") from None

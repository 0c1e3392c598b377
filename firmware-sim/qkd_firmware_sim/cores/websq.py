"""Single Quantum WebSQ: nanowires behind a controller that tells every client each change."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.cores.core import PS_PER_S, Revised
from qkd_firmware_sim.optics import Response

CHANNELS = 4
ETB = "\x17"
_EPOCH_S = 1_700_000_000.0
_BIAS_UA = (0.0, 40.0)
_TRIGGER_MV = (-1000.0, 1000.0)
_PERIOD_MS = (10.0, 10_000.0)
_LONGEST_REQUEST = 1 << 16
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Nanowire:
    """A wire: it sees well below its critical current, and sees nothing once it has latched."""

    saturated_efficiency: float = 0.85
    half_ua: float = 12.0
    width_ua: float = 2.0
    critical_ua: float = 28.0
    rated_dark_cps: float = 100.0
    rated_ua: float = 20.0
    pulse_mv: float = 300.0

    def response(self, bias_ua: float, trigger_mv: float) -> Response:
        """Efficiency and dark counts behind the discriminator."""
        if not 0 < trigger_mv < self.pulse_mv:
            return Response(0.0, 0.0)
        share = 0.5 * math.erfc((self.half_ua - bias_ua) / self.width_ua)
        dark_cps = self.rated_dark_cps * math.exp((bias_ua - self.rated_ua) / self.width_ua)
        return Response(self.saturated_efficiency * share, dark_cps if bias_ua > 0 else 0.0)


class Channel:
    """One wire as the light sees it."""

    def __init__(self, box: "WebSq", number: int, wire: Nanowire) -> None:
        self._box = box
        self._number = number
        self._wire = wire
        self.latched = False
        self.counted = 0

    @property
    def counting(self) -> bool:
        """Whether anything could be seen: the counters run by themselves."""
        return self._box.enabled and self._box.currents_ua[self._number] > 0

    def response(self) -> Response:
        current_ua = self._box.currents_ua[self._number]
        if not self._box.enabled or self.latched or self._box.latched:
            return Response(0.0, 0.0)
        return self._wire.response(current_ua, self._box.triggers_mv[self._number])

    def settle(self) -> None:
        """A wire above its critical current turns resistive and stays so until it is let go."""
        if not self._box.enabled:
            self.latched = False
        elif self._box.currents_ua[self._number] > self._wire.critical_ua:
            self.latched = True

    def clicks(self, times_ps: npt.NDArray[np.int64]) -> None:
        self.counted += len(times_ps)


class WebSq(Revised):
    """The box: a control session and a counts session for each client of its two ports."""

    revisions: ClassVar[Mapping[str, str]] = {
        "bare": "labels carry their values bare, without bounds and unit",
        "json-rpc": "the control port speaks JSON-RPC over HTTP",
    }

    def __init__(self, wire: Nanowire = Nanowire()) -> None:
        self.now_ps = 0
        self.latched = False
        self.channels = [Channel(self, number, wire) for number in range(CHANNELS)]
        self._control: WeakSet[Session] = WeakSet()
        self._counts: WeakSet[Session] = WeakSet()
        self._factory()

    def session(self) -> "Session":
        session = Session(self._receive)
        self._control.add(session)
        return session

    def counts_session(self) -> "Session":
        """Of a client that only listens."""
        session = Session(lambda session, data: b"")
        self._counts.add(session)
        return session

    def clicks(self, times_ps: npt.NDArray[np.int64]) -> None:
        """Pulses for the wires in turn, where no world deals them out."""
        for number, channel in enumerate(self.channels):
            if channel.counting:
                channel.clicks(times_ps[number::CHANNELS])

    def advance(self, now_ps: int) -> None:
        """Moves the clock on; ends each measurement period that is due."""
        self.now_ps = now_ps
        while now_ps - self._period_begin_ps >= (period_ps := round(self.period_ms * 1e9)):
            self._period_begin_ps += period_ps
            fields = [_EPOCH_S + self._period_begin_ps / PS_PER_S]
            fields += [float(channel.counted) for channel in self.channels]
            line = ",".join(f"{field:.6f}" for field in fields) + "\n"
            for channel in self.channels:
                channel.counted = 0
            for session in list(self._counts):
                session.emit(line)

    def power_cycle(self) -> None:
        """Bias off and everything as delivered."""
        self._factory()
        for session in (*self._control, *self._counts):
            session.clear()

    lose_settings = power_cycle

    def _factory(self) -> None:
        self.enabled = False
        self.latched = False
        self.currents_ua = [0.0] * CHANNELS
        self.triggers_mv = [100.0] * CHANNELS
        self.period_ms = 100.0
        self._period_begin_ps = self.now_ps
        for channel in self.channels:
            channel.latched, channel.counted = False, 0

    def _receive(self, session: "Session", data: bytes) -> bytes:
        """Obeys each whole object; returns what is not whole yet."""
        if self.revision == "json-rpc":
            session.emit("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return b""
        text = data.decode("latin-1")
        position = 0
        while position < len(text):
            if text[position] != "{":
                position += 1
                continue
            try:
                request, position = _DECODER.raw_decode(text, position)
            except json.JSONDecodeError:
                break
            self._obey(session, request)
        return data[position:][-_LONGEST_REQUEST:]

    def _obey(self, session: "Session", request: dict[str, Any]) -> None:
        value: Any = request.get("value")
        if request.get("request") == "labelProps":
            session.emit("".join(map(self._told, self._labels())))
            return
        match request.get("command"):
            case "SetAllBiasCurrents" if _are_within(value, _BIAS_UA):
                self.currents_ua = [float(each) for each in value]
                changed = "BiasCurrent"
            case "SetAllTriggerLevels" if _are_within(value, _TRIGGER_MV):
                self.triggers_mv = [float(each) for each in value]
                changed = "TriggerLevel"
            case "SetMeasurementPeriod" if _are_within([value] * CHANNELS, _PERIOD_MS):
                self.period_ms = float(value)
                self._period_begin_ps = self.now_ps
                changed = "InptMeasurementPeriod"
            case "DetectorEnable" if isinstance(value, bool):
                self.enabled = value
                self.latched &= value
                changed = "DetectorEnable"
            case command:
                fault = {"label": "CommandError", "value": f"{command}: bad command or value"}
                session.emit(json.dumps(fault) + ETB)
                return
        for channel in self.channels:
            channel.settle()
        for each in list(self._control):
            each.emit(self._told(changed))

    def _told(self, label: str) -> str:
        value: Any = self._labels()[label]
        if self.revision == "bare":
            value = value["value"]
        return json.dumps({"label": label, "value": value}) + ETB

    def _labels(self) -> dict[str, object]:
        return {
            "NumberOfDetectors": {"value": CHANNELS},
            "BiasCurrent": {"bounds": list(_BIAS_UA), "units": "uA", "value": self.currents_ua},
            "TriggerLevel": {"bounds": list(_TRIGGER_MV), "units": "mV", "value": self.triggers_mv},
            "DetectorEnable": {"value": self.enabled},
            "InptMeasurementPeriod": {"units": "ms", "value": self.period_ms},
        }


class Session:
    """One client of one port."""

    def __init__(self, obey: Callable[["Session", bytes], bytes]) -> None:
        self.on_output: Callable[[], None] = lambda: None
        self._obey = obey
        self._input = b""
        self._output = bytearray()

    def receive(self, data: bytes) -> None:
        self._input = self._obey(self, self._input + data)

    def take(self, limit: int) -> bytes:
        data = bytes(self._output[:limit])
        del self._output[:limit]
        return data

    def emit(self, text: str) -> None:
        """Queues text for the client; the oldest of what nobody reads is dropped."""
        self._output += text.encode()
        del self._output[: -(1 << 20)]
        self.on_output()

    def clear(self) -> None:
        self._input = b""
        self._output.clear()


def _are_within(values: object, bounds: tuple[float, float]) -> bool:
    return (
        isinstance(values, list)
        and len(values) == CHANNELS
        and all(isinstance(v, int | float) and bounds[0] <= v <= bounds[1] for v in values)
    )

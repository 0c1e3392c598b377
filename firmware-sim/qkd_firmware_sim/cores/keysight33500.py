"""Keysight 33522B: a waveform generator with two outputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from qkd_firmware_sim.scpi import (
    ScpiError,
    ScpiInstrument,
    parse_boolean,
    parse_choice,
    parse_number,
)
from qkd_firmware_sim.scpi.instrument import action, no_arguments, one

CHANNELS = (1, 2)

_SHAPES = ("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "ARB", "DC")
_LEAST_PERIOD_S, _MOST_PERIOD_S = 1 / 30e6, 1e6
_LEAST_WIDTH_S = 16e-9
_MOST_PEAK_V = 5.0  # into 50 Ω, twice that into an open end
_LEAST_VPP = 1e-3
_OHM = 50.0
_OPEN_OHM = 9.9e37
_MOST_POINTS = 1_000_000

Limits = Callable[[], tuple[float, float]]


@dataclass
class _Channel:
    shape: str = "SINusoid"
    period_s: float = 1e-3
    width_s: float = 1e-4
    edge_s: float = 10e-9
    hold: str = "WIDTh"
    vpp: float = 0.1
    offset_v: float = 0.0
    unit: str = "VPP"
    phase_deg: float = 0.0
    on: bool = False
    load_ohm: float = _OHM
    burst: bool = False
    burst_mode: str = "TRIGgered"
    cycles: float = 1.0
    burst_period_s: float = 10e-3
    trigger: str = "IMMediate"
    arb: str = "EXP_RISE"
    rate_hz: float = 40e3
    arbs: dict[str, int] = field(default_factory=dict)

    @property
    def peak_v(self) -> float:
        """The most that the load allows."""
        gain = 2.0 if self.load_ohm > 1e6 else 2.0 * self.load_ohm / (self.load_ohm + _OHM)
        return _MOST_PEAK_V * gain


class Keysight33500(ScpiInstrument):
    """The generator's firmware; what it gives is `output`."""

    def __init__(self, serial_number: str) -> None:
        super().__init__(f"Agilent Technologies,33522B,{serial_number},4.00-1.19-2.00-58-00")
        self.now_ps = 0
        self.reset()
        for channel in CHANNELS:
            source = "[:SOURce1]" if channel == 1 else f":SOURce{channel}"
            self._define_shape(channel, source)
            self._define_levels(channel, source)
            self._define_bursts(channel, source)
            self._define_arbitrary(channel, source)
        self.define(
            ":UNIT:ANGLe",
            set=lambda args: setattr(self, "_angle", parse_choice(one(args), ("DEGree", "RADian"))),
            query=no_arguments(lambda: self._angle[:3].upper()),
        )

    @property
    def period_s(self) -> float:
        """Of the first channel."""
        return self._channels[1].period_s

    def output(self, channel: int) -> tuple[float, float, float] | None:
        """Width and delay in s and amplitude in V of a channel that pulses; None otherwise."""
        held = self._channels[channel]
        if not held.on or held.shape != "PULSe":
            return None
        delay_s = held.phase_deg / 360.0 % 1.0 * held.period_s
        return held.width_s, delay_s, held.vpp

    def advance(self, now_ps: int) -> None:
        """Nothing here takes time."""
        self.now_ps = now_ps

    def reset(self) -> None:
        self._channels = {channel: _Channel() for channel in CHANNELS}
        self._angle = "DEGree"

    def power_cycle(self) -> None:
        """Switches the box off and on: outputs off, settings and status lost."""
        self.reset()
        self.status.clear()
        self.status.event_status |= 128

    lose_settings = power_cycle

    def _define_shape(self, channel: int, source: str) -> None:
        period = (_LEAST_PERIOD_S, _MOST_PERIOD_S)
        self._choice(channel, f"{source}:FUNCtion[:SHAPe]", "shape", _SHAPES)
        self._number(channel, f"{source}:FUNCtion:PULSe:PERiod", "S", self._period_s, period)
        self._number(
            channel,
            f"{source}:FREQuency[:CW]",
            "HZ",
            self._frequency_hz,
            (1 / _MOST_PERIOD_S, 1 / _LEAST_PERIOD_S),
        )
        self._number(
            channel,
            f"{source}:FUNCtion:PULSe:WIDTh",
            "S",
            self._held("width_s"),
            lambda: (_LEAST_WIDTH_S, self._channels[channel].period_s - _LEAST_WIDTH_S),
        )
        for edge in ("BOTH", "LEADing", "TRAiling"):
            header = f"{source}:FUNCtion:PULSe:TRANsition:{edge}"
            self._number(channel, header, "S", self._held("edge_s"), (8.4e-9, 1e-6))
        self._choice(channel, f"{source}:FUNCtion:PULSe:HOLD", "hold", ("WIDTh", "DCYCle"))
        self._number(channel, f"{source}:PHASe[:ADJust]", "DEG", self._phase, (-360.0, 360.0))
        self.define(f"{source}:PHASe:SYNChronize", set=action(lambda: None))
        self.define(f"{source}:PHASe:INITiate", set=action(lambda: None))

    def _define_levels(self, channel: int, source: str) -> None:
        def held() -> _Channel:
            return self._channels[channel]

        self._number(
            channel,
            f"{source}:VOLTage[:LEVel][:IMMediate][:AMPLitude]",
            "V",
            self._held("vpp"),
            lambda: (_LEAST_VPP, 2 * (held().peak_v - abs(held().offset_v))),
        )
        self._number(
            channel,
            f"{source}:VOLTage[:LEVel][:IMMediate]:OFFSet",
            "V",
            self._held("offset_v"),
            lambda: (held().vpp / 2 - held().peak_v, held().peak_v - held().vpp / 2),
        )
        self._choice(channel, f"{source}:VOLTage:UNIT", "unit", ("VPP", "VRMS", "DBM"))
        output = ":OUTPut1" if channel == 1 else f":OUTPut{channel}"
        self._switch(channel, f"{output}[:STATe]", "on")
        self._number(channel, f"{output}:LOAD", "OHM", self._held("load_ohm"), (1.0, _OPEN_OHM))

    def _define_bursts(self, channel: int, source: str) -> None:
        self._switch(channel, f"{source}:BURSt[:STATe]", "burst")
        self._choice(channel, f"{source}:BURSt:MODE", "burst_mode", ("TRIGgered", "GATed"))
        self._number(channel, f"{source}:BURSt:NCYCles", "", self._held("cycles"), (1.0, 1e8))
        self._number(
            channel,
            f"{source}:BURSt:INTernal:PERiod",
            "S",
            self._held("burst_period_s"),
            (1e-6, 8000.0),
        )
        trigger = ":TRIGger1:SOURce" if channel == 1 else f":TRIGger{channel}:SOURce"
        self._choice(channel, trigger, "trigger", ("IMMediate", "EXTernal", "TIMer", "BUS"))

    def _define_arbitrary(self, channel: int, source: str) -> None:
        def held() -> _Channel:
            return self._channels[channel]

        def load(arguments: list[str]) -> None:
            if len(arguments) < 9:
                raise ScpiError(-109)
            name, *points = arguments
            if len(points) > _MOST_POINTS:
                raise ScpiError(-222, "too many points")
            for point in points:
                parse_number(point, "", -1.0, 1.0, 0.0)
            held().arbs[name.strip('"').upper()] = len(points)

        def choose(arguments: list[str]) -> None:
            name = one(arguments).strip('"').upper()
            if name not in held().arbs:
                raise ScpiError(-224, f"no arb called {name}")
            held().arb = name

        self.define(f"{source}:DATA:VOLatile:CLEar", set=action(lambda: held().arbs.clear()))
        self.define(f"{source}:DATA:ARBitrary", set=load)
        self.define(
            f"{source}:FUNCtion:ARBitrary",
            set=choose,
            query=no_arguments(lambda: f'"{held().arb}"'),
        )
        rates = (1e-6, 250e6)
        self._number(
            channel, f"{source}:FUNCtion:ARBitrary:SRATe", "HZ", self._held("rate_hz"), rates
        )

    def _number(
        self,
        channel: int,
        header: str,
        unit: str,
        access: Callable[..., float],
        limits: tuple[float, float] | Limits,
    ) -> None:
        """A real setting; ``access`` reads it, or writes the value that it is given."""

        def now() -> tuple[float, float]:
            return limits if isinstance(limits, tuple) else limits()

        def write(arguments: list[str]) -> None:
            low, high = now()
            access(channel, parse_number(one(arguments), unit, low, high, low))

        def read(arguments: list[str]) -> str:
            if not arguments:
                return _real(access(channel))
            word = parse_choice(one(arguments), ("MINimum", "MAXimum"))
            return _real(now()[word == "MAXimum"])

        self.define(header, set=write, query=read)

    def _held(self, name: str) -> Callable[..., float]:
        def access(channel: int, value: float | None = None) -> float:
            if value is not None:
                setattr(self._channels[channel], name, value)
            return float(getattr(self._channels[channel], name))

        return access

    def _choice(self, channel: int, header: str, name: str, choices: tuple[str, ...]) -> None:
        def write(arguments: list[str]) -> None:
            setattr(self._channels[channel], name, parse_choice(one(arguments), choices))

        def read() -> str:
            word: str = getattr(self._channels[channel], name)
            return "".join(letter for letter in word if not letter.islower())

        self.define(header, set=write, query=no_arguments(read))

    def _switch(self, channel: int, header: str, name: str) -> None:
        def write(arguments: list[str]) -> None:
            setattr(self._channels[channel], name, parse_boolean(one(arguments)))

        self.define(
            header,
            set=write,
            query=no_arguments(lambda: str(int(getattr(self._channels[channel], name)))),
        )

    def _period_s(self, channel: int, value: float | None = None) -> float:
        held = self._channels[channel]
        if value is not None:
            held.period_s = value
            if held.width_s > value - _LEAST_WIDTH_S:
                held.width_s = max(_LEAST_WIDTH_S, value - _LEAST_WIDTH_S)
                self.status.report(ScpiError(-221, "pulse width decreased due to period"))
        return held.period_s

    def _frequency_hz(self, channel: int, value: float | None = None) -> float:
        return 1 / self._period_s(channel, None if value is None else 1 / value)

    def _phase(self, channel: int, value: float | None = None) -> float:
        held = self._channels[channel]
        scale = 1.0 if self._angle == "DEGree" else math.pi / 180
        if value is not None:
            held.phase_deg = value / scale
        return held.phase_deg * scale


def _real(value: float) -> str:
    return f"{value:+.14E}"

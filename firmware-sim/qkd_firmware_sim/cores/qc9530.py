"""Quantum Composers 9530: a time base T0 and eight outputs, in a dialect of its own.

It looks like SCPI and is not: every setting is answered ``ok``, every error ``?n``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from qkd_firmware_sim.cores.lines import Busy, LineCore

_CHANNELS = 8
_PREFIX, _NO_KEYWORD, _KEYWORD, _NO_PARAMETER, _PARAMETER, _QUERY_ONLY, _NO_QUERY = range(1, 8)

Value = float | str


class _Refusal(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"?{code}")


@dataclass(frozen=True)
class _Number:
    low: float
    high: float
    digits: int
    start: float

    def read(self, text: str) -> Value:
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(E[+-]?\d+)?", text):
            raise _Refusal(_PARAMETER)
        if not self.low <= float(text) <= self.high:
            raise _Refusal(_PARAMETER)
        return round(float(text), self.digits)

    def show(self, value: Value) -> str:
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class _Word:
    words: tuple[str, ...]
    start: str

    def read(self, text: str) -> Value:
        if text not in self.words:
            raise _Refusal(_PARAMETER)
        return text

    def show(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True)
class _Switch:
    start: str = "0"

    def read(self, text: str) -> Value:
        try:
            return {"1": "1", "ON": "1", "0": "0", "OFF": "0"}[text]
        except KeyError:
            raise _Refusal(_PARAMETER) from None

    def show(self, value: Value) -> str:
        return str(value)


_Kind = _Number | _Word | _Switch

_COUNT = _Number(1, 1e6, 0, 1)
_MODE = _Word(("NORM", "SING", "BURS", "DCYC"), "NORM")
_BASE: dict[str, _Kind] = {
    "STAT": _Switch(),
    "PER": _Number(50e-9, 5000.0, 9, 1e-3),
    "MOD": _MODE,
    "BCO": _COUNT,
    "PCO": _COUNT,
    "OCO": _COUNT,
    "TRIG:MOD": _Word(("DIS", "TRIG", "DUAL"), "DIS"),
    "TRIG:EDGE": _Word(("RIS", "FALL"), "RIS"),
    "TRIG:LEVEL": _Number(0.2, 15.0, 3, 2.5),
    "ICL:MOD": _Word(("INT", "EXT", "XPL"), "INT"),
    "ICL:RAT": _Number(10, 100, 0, 10),
    "ICL:LEV": _Number(0.02, 2.5, 3, 0.5),
}
_OUTPUT: dict[str, _Kind] = {
    "STAT": _Switch(),
    "WIDT": _Number(10e-9, 999.9, 11, 1e-6),
    "DEL": _Number(-99.9, 999.9, 11, 0.0),
    "CMOD": _MODE,
    "BCO": _COUNT,
    "PCO": _COUNT,
    "OCO": _COUNT,
    "OUTP:MODE": _Word(("TTL", "ADJ"), "TTL"),
    "OUTP:AMPL": _Number(2.0, 20.0, 3, 4.0),
    "POL": _Word(("NORM", "INV"), "NORM"),
}


@dataclass
class _Block:
    kinds: dict[str, _Kind] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)


class Qc9530(LineCore):
    """The generator's firmware; `output` tells what leaves it."""

    def __init__(self, serial_number: str) -> None:
        super().__init__()
        self.identity = f"QC,9530,{serial_number},2.0.1-1.0.2"
        self.clock_present = False
        self._reset()

    def output(self, channel: int) -> tuple[float, float, float] | None:
        """Width and delay in s and amplitude in V of a channel that pulses."""
        output, base = self._blocks[channel].values, self._blocks[0].values
        if base["STAT"] != "1" or output["STAT"] != "1":
            return None
        amplitude_v = output["OUTP:AMPL"] if output["OUTP:MODE"] == "ADJ" else 4.0
        return float(output["WIDT"]), float(output["DEL"]), float(amplitude_v)

    @property
    def period_s(self) -> float:
        return float(self._blocks[0].values["PER"])

    def power_cycle(self) -> None:
        super().power_cycle()
        self._reset()

    def lose_settings(self) -> None:
        """The generator starts with its defaults after each power-up anyway."""
        self.power_cycle()

    def answer(self, line: str) -> str | Busy:
        try:
            return self._execute(line.upper())
        except _Refusal as refusal:
            return str(refusal)

    def _reset(self) -> None:
        kinds = [_BASE, *[_OUTPUT] * _CHANNELS]
        self._blocks = [
            _Block(dict(each), {name: kind.start for name, kind in each.items()}) for each in kinds
        ]
        self._display = "1"

    def _execute(self, line: str) -> str:
        header, _, argument = line.partition(" ")
        common: dict[str, Callable[[], str]] = {
            "*IDN?": lambda: self.identity,
            ":INST:CAT?": lambda: ",".join(["T0", *(f"CH{c}" for c in "ABCDEFGH"[:_CHANNELS])]),
        }
        if header in common:
            return common[header]()
        if header == "*RST":
            self._reset()
            return "ok"
        if header[:1] not in (":", "*"):
            raise _Refusal(_PREFIX)
        if header.rstrip("?") in (":INST:CAT", "*IDN"):
            raise _Refusal(_QUERY_ONLY)
        if header == ":DISP:ENAB":
            self._display = str(_Switch().read(argument))
            return "ok"
        match = re.fullmatch(r":PULSE?(\d)(?::([A-Z:]+))?(\?)?", header)
        if not match or int(match[1]) > _CHANNELS:
            raise _Refusal(_KEYWORD)
        if match[2] is None:
            raise _Refusal(_NO_KEYWORD)
        block = self._blocks[int(match[1])]
        kind = block.kinds.get(match[2])
        if kind is None:
            raise _Refusal(_KEYWORD)
        if match[3]:
            unlocked = block.values[match[2]] == "XPL" and not self.clock_present
            return kind.show(block.values[match[2]]) + ("?" if unlocked else "")
        if not argument.strip():
            raise _Refusal(_NO_PARAMETER)
        block.values[match[2]] = kind.read(argument.strip())
        return "ok"

"""The patch panel of the ID900: its blocks, their settings, and the headers that reach them.

Every request has one answer, settings too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qkd_firmware_sim.scpi import (
    ScpiError,
    ScpiInstrument,
    parse_boolean,
    parse_choice,
    parse_integer,
    parse_number,
)
from qkd_firmware_sim.scpi.instrument import action, no_arguments, one

CHANNELS = (1, 2, 3, 4)
LEAST_DEAD_PS = 40_000
LEAST_RECORD_PS = 200_000_000_000

_LARGEST_PS = 10**15
_EDGES = ("RISIng", "FALLing")
_WORDS = {"RISIng": "RISING", "FALLing": "FALLING"}
_COMBINERS = 8

Times = npt.NDArray[np.int64]


@dataclass
class Input:
    enabled: bool = True
    threshold_v: float = 0.5
    edge: str = "RISIng"
    coupling: str = "DC"
    selection: str = "UNSHAPED"
    mode: str = "CYCL"
    integration_ps: int = 1_000_000_000_000
    begun_ps: int = 0
    running: int = 0
    told: int = 0


@dataclass
class Raw:
    """One of the four ways on which tags leave the box."""

    stop: str = "NONE"
    ref: str = "NONE"
    sends: bool = False
    errors: int = 0
    held: list[Times] = field(default_factory=list)


@dataclass
class Record:
    """The gate: sub-acquisitions of width_ps, each period_ps after the one before."""

    mode: str = "MANUal"
    enabled: bool = False
    number: int | None = 1
    width_ps: int = 1_000_000_000_000
    period_ps: int = 1_000_000_000_000 + LEAST_DEAD_PS
    start_ps: int | None = None
    index: int = 0


class Panel(ScpiInstrument):
    """Holds the settings; what they do to pulses is the box's affair."""

    revisions: ClassVar[Mapping[str, str]] = {"ok": "a setting is answered by OK, not by its value"}

    separator = "\n"

    def __init__(self, identity: str, resolution_ps: int) -> None:
        super().__init__(identity)
        self.now_ps = 0
        self._resolution_ps = resolution_ps
        self.reset()
        self._define_inputs()
        self._define_blocks()
        self._define_raw()
        self._define_record()

    @property
    def streaming(self) -> bool:
        """Whether a recording is under way."""
        return self._record.start_ps is not None

    def reset(self) -> None:
        self._inputs = {number: Input(begun_ps=self.now_ps) for number in CHANNELS}
        self._delays = {number: 0 for number in CHANNELS}
        self._delay_links = {number: f"INPU{number}" for number in CHANNELS}
        self._combiners = {n: {"FIR": "NONE"} for n in range(1, _COMBINERS + 1)}
        for number in CHANNELS:
            self._combiners[4 + number]["FIR"] = f"DELA{number}"
        self._raws = {number: Raw(stop=f"TSCO{4 + number}") for number in CHANNELS}
        self._record = Record()
        self._mode = "HIRES"

    def _play(self) -> None:
        """Begins a recording."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Ends it."""
        raise NotImplementedError

    def _confirm(self, arguments: list[str]) -> str | None:
        if self.revision == "ok":
            return "OK"
        return f"Value set to {arguments[0]}" if arguments else "Done"

    def _complain(self, error: ScpiError) -> str | None:
        return f"Error {error.code}: {error.text}"

    def _define_inputs(self) -> None:
        for number in CHANNELS:
            at = f":INPUt{number}"
            self._boolean(f"{at}:ENABle", lambda n=number: self._inputs[n], "enabled")  # type: ignore[misc]
            self._define_threshold(number)
            for name, attribute, choices in (
                ("EDGE", "edge", _EDGES),
                ("COUPling", "coupling", ("DC", "AC")),
                ("SELEct", "selection", ("UNSHAPED", "SHAPED", "OUTP")),
                ("COUNter:MODE", "mode", ("CYCL", "ACCU")),
            ):
                owner = lambda n=number: self._inputs[n]  # noqa: E731
                self._choice(f"{at}:{name}", owner, attribute, choices)
            self._define_counter(number)

    def _define_threshold(self, number: int) -> None:
        def write(arguments: list[str]) -> None:
            volts = parse_number(one(arguments), "V", -2.0, 2.0, 0.5)
            self._inputs[number].threshold_v = volts

        self.define(
            f":INPUt{number}:THREshold",
            set=write,
            query=no_arguments(lambda: f"{self._inputs[number].threshold_v:g}V"),
        )

    def _define_counter(self, number: int) -> None:
        at = f":INPUt{number}:COUNter"

        def integrate(arguments: list[str]) -> None:
            block = self._inputs[number]
            block.integration_ps = _time(one(arguments))
            block.running, block.begun_ps = 0, self.now_ps

        def restart() -> None:
            block = self._inputs[number]
            block.running, block.told, block.begun_ps = 0, 0, self.now_ps

        def count() -> str:
            block = self._inputs[number]
            return str(block.told if block.mode == "CYCL" else block.running)

        self.define(at, query=no_arguments(count))
        self.define(
            f"{at}:INTEgration",
            set=integrate,
            query=no_arguments(lambda: f"{self._inputs[number].integration_ps}TB"),
        )
        self.define(f"{at}:RESEt", set=action(restart))

    def _define_blocks(self) -> None:
        for number in CHANNELS:
            self._define_delay(number)
        for number in range(1, _COMBINERS + 1):
            at = f":TSCO{number}"
            self._define_first(number)
            for header, default in (
                ("OPIN", "ONLYFIR"),
                ("OPOUt", "ONLYFIR"),
                ("WINDow:ENABle", "OFF"),
                ("WINDow:BEGIn:LINK", "NONE"),
                ("WINDow:END:LINK", "NONE"),
            ):
                self._define_word(f"{at}:{header}", number, header, default)
        self.define(
            ":DEVIce:RESolution",
            set=self._set_resolution,
            query=no_arguments(lambda: self._mode),
        )
        self.define(
            ":DEVIce:RESolution:BWIDth", query=no_arguments(lambda: str(self._resolution_ps))
        )

    def _define_delay(self, number: int) -> None:
        def write(arguments: list[str]) -> None:
            self._delays[number] = _time(one(arguments))

        def connect(arguments: list[str]) -> None:
            self._delay_links[number] = _source(one(arguments))

        self.define(
            f":DELAy{number}:VALUe",
            set=write,
            query=no_arguments(lambda: f"{self._delays[number]}TB"),
        )
        self.define(
            f":DELAy{number}:LINK",
            set=connect,
            query=no_arguments(lambda: self._delay_links[number]),
        )

    def _define_first(self, number: int) -> None:
        def connect(arguments: list[str]) -> None:
            self._combiners[number]["FIR"] = _source(one(arguments))

        self.define(
            f":TSCO{number}:FIR:LINK",
            set=connect,
            query=no_arguments(lambda: self._combiners[number]["FIR"]),
        )

    def _define_word(self, header: str, number: int, name: str, default: str) -> None:
        """A setting of a combiner that the simulated way of the tags does not depend on."""

        def write(arguments: list[str]) -> None:
            self._combiners[number][name] = one(arguments).upper()

        def read() -> str:
            return self._combiners[number].get(name, default)

        self.define(header, set=write, query=no_arguments(read))

    def _define_raw(self) -> None:
        for number in CHANNELS:
            at = f":RAW{number}"
            self._boolean(f"{at}:SEND", lambda n=number: self._raws[n], "sends")  # type: ignore[misc]
            for name in ("STOP", "REF"):
                self._define_raw_link(number, name)
            self.define(
                f"{at}:ERRORS",
                query=no_arguments(lambda n=number: str(self._raws[n].errors)),  # type: ignore[misc]
            )
            self.define(f"{at}:ERRORS:CLEAR", set=action(lambda n=number: self._clear(n)))  # type: ignore[misc]

    def _define_raw_link(self, number: int, name: str) -> None:
        def connect(arguments: list[str]) -> None:
            setattr(self._raws[number], name.lower(), _source(one(arguments)))

        self.define(
            f":RAW{number}:{name}:LINK",
            set=connect,
            query=no_arguments(lambda: str(getattr(self._raws[number], name.lower()))),
        )

    def _clear(self, number: int) -> None:
        self._raws[number].errors = 0

    def _define_record(self) -> None:
        self._choice(":RECord:TRIGger:ARM:MODE", lambda: self._record, "mode", ("MANUal", "AUTO"))
        self._boolean(":RECord:ENABle", lambda: self._record, "enabled")
        self.define(":RECord:NUMber", set=self._set_number, query=no_arguments(self._number))
        self.define(":RECord:DURation", set=self._set_duration, query=no_arguments(self._width))
        self.define(":RECord:PWIDth", set=self._set_width, query=no_arguments(self._width))
        self.define(
            ":RECord:PPERiod",
            set=self._set_period,
            query=no_arguments(lambda: f"{self._record.period_ps}TB"),
        )
        self.define(":RECord:PLAY", set=action(self._play))
        self.define(":RECord:STOP", set=action(self._stop))
        self.define(
            ":RECord:STAGe",
            query=no_arguments(lambda: "PLAYING" if self.streaming else "IDLE"),
        )

    def _number(self) -> str:
        return "INF" if self._record.number is None else str(self._record.number)

    def _width(self) -> str:
        return f"{self._record.width_ps}TB"

    def _set_number(self, arguments: list[str]) -> None:
        word = one(arguments)
        self._record.number = None if word.upper() == "INF" else parse_integer(word, 1, 2**31)

    def _set_duration(self, arguments: list[str]) -> None:
        self._set_width(arguments)
        self._record.period_ps = self._record.width_ps + LEAST_DEAD_PS

    def _set_width(self, arguments: list[str]) -> None:
        width_ps = _time(one(arguments))
        if width_ps < LEAST_RECORD_PS:
            raise ScpiError(-222, f"{width_ps} is less than {LEAST_RECORD_PS}")
        self._record.width_ps = width_ps

    def _set_period(self, arguments: list[str]) -> None:
        period_ps = _time(one(arguments))
        if period_ps < self._record.width_ps + LEAST_DEAD_PS:
            raise ScpiError(-222, f"{period_ps} leaves less than {LEAST_DEAD_PS} dead")
        self._record.period_ps = period_ps

    def _set_resolution(self, arguments: list[str]) -> None:
        self._mode = parse_choice(one(arguments), ("HIRES", "LOWRES"))

    def _boolean(self, header: str, owner: Callable[[], object], name: str) -> None:
        def write(arguments: list[str]) -> None:
            setattr(owner(), name, parse_boolean(one(arguments)))

        def read() -> str:
            return "ON" if getattr(owner(), name) else "OFF"

        self.define(header, set=write, query=no_arguments(read))

    def _choice(
        self, header: str, owner: Callable[[], object], name: str, choices: tuple[str, ...]
    ) -> None:
        def write(arguments: list[str]) -> None:
            setattr(owner(), name, parse_choice(one(arguments), choices))

        def read() -> str:
            held = str(getattr(owner(), name))
            return _WORDS.get(held, held).upper()

        self.define(header, set=write, query=no_arguments(read))


def _time(text: str) -> int:
    """A time in ps, which is the box's time base, TB."""
    return round(parse_number(text, "TB", 0, _LARGEST_PS, 0))


def _source(text: str) -> str:
    """A block that a link may lead to."""
    word = text.upper()
    known = {"NONE", "REC", *(f"{kind}{n}" for kind in ("INPU", "DELA") for n in CHANNELS)}
    known |= {f"TSCO{n}" for n in range(1, _COMBINERS + 1)}
    if word not in known:
        raise ScpiError(-224, text)
    return word

"""A SCPI instrument: a table of headers, executed for any number of clients."""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from qkd_firmware_sim.cores.core import Revised
from qkd_firmware_sim.scpi.status import OPERATION_COMPLETE, Register, Status
from qkd_firmware_sim.scpi.syntax import ScpiError, header_pattern, parse_integer, split_quoted

_INPUT_BYTES = 65536
_OUTPUT_CHARS = 65536

Setter = Callable[[list[str]], None]
Getter = Callable[[list[str]], str]


class ScpiInstrument(Revised):
    """Executes program messages of IEEE 488.2; subclasses define their own headers."""

    revisions: ClassVar[Mapping[str, str]] = {
        "unsigned": "an empty queue answers 0, not +0 (SCPI-99 vol. 2, 21.8)"
    }

    separator = ";"
    """Between the answers to the queries of one message."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.status = Status()
        self._commands: list[tuple[re.Pattern[str], Setter | None, Getter | None]] = []
        self._message_available = False
        self._define_common()

    @property
    def busy(self) -> bool:
        """Whether something that was asked for takes time yet."""
        return False

    def session(self) -> "ScpiSession":
        """A client's own conversation: its input buffer and its output queue."""
        return ScpiSession(self)

    def reset(self) -> None:
        """``*RST``: settings to their defaults; status and error queue stay."""

    def define(
        self, header: str, *, set: Setter | None = None, query: Getter | None = None
    ) -> None:
        """Gives a header, written as `header_pattern` reads it, its set and query form."""
        self._commands.append((header_pattern(header), set, query))

    def execute(self, message: str) -> str | None:
        """Runs one program message; returns the response message, None if nothing was asked.

        A command error drops the rest of the message; other errors drop their unit only.
        """
        answers: list[str] = []
        path = ""
        for unit in split_quoted(message, ";"):
            if not unit:
                continue
            header, _, tail = unit.partition(" ")
            if not header.startswith("*"):
                header = header if header.startswith(":") else f"{path}:{header}"
                path = header.rstrip("?").rpartition(":")[0]
            self._message_available = bool(answers)
            try:
                answer = self._run(header, tail.strip())
            except ScpiError as error:
                self.status.report(error)
                if (said := self._complain(error)) is not None:
                    answers.append(said)
                if -200 < error.code <= -100:
                    break
                continue
            if answer is not None:
                answers.append(answer)
        response = self.separator.join(answers)
        if len(response) > _OUTPUT_CHARS:
            self.status.report(ScpiError(-430))
            return None
        return response if answers else None

    def _run(self, header: str, tail: str) -> str | None:
        asked = header.endswith("?")
        name = header[:-1] if asked else header
        arguments = split_quoted(tail, ",") if tail else []
        for pattern, set_form, query_form in self._commands:
            if pattern.fullmatch(name):
                if asked and query_form is not None:
                    return query_form(arguments)
                if not asked and set_form is not None:
                    set_form(arguments)
                    return self._confirm(arguments)
                break
        if not re.fullmatch(r"[*:]?\w+(:\w+)*\??", header, re.ASCII):
            raise ScpiError(-102, header)
        raise ScpiError(-113, header)

    def _confirm(self, arguments: list[str]) -> str | None:
        """What is answered to a setting; nothing by IEEE 488.2."""
        del arguments
        return None

    def _complain(self, error: ScpiError) -> str | None:
        """What is answered in place of what failed; nothing by IEEE 488.2."""
        del error
        return None

    def _define_common(self) -> None:
        status = self.status
        self.define("*IDN", query=no_arguments(lambda: self.identity))
        self.define("*RST", set=action(self.reset))
        self.define("*TST", query=no_arguments(lambda: "0"))
        self.define("*CLS", set=action(status.clear))
        self.define("*WAI", set=action(lambda: None))
        self.define("*OPC", set=action(self._complete), query=no_arguments(lambda: "1"))
        self.define("*ESR", query=no_arguments(lambda: str(status.take_event_status())))
        self.define("*STB", query=no_arguments(self._status_byte))
        self._define_mask("*ESE", status, "event_enable", 255)
        self._define_mask("*SRE", status, "service_enable", 255)
        self._define_scpi()

    def _next_error(self) -> str:
        entry = self.status.next_error()
        return entry.removeprefix("+") if self.revision == "unsigned" else entry

    def _define_scpi(self) -> None:
        status = self.status
        self.define(":SYSTem:ERRor[:NEXT]", query=no_arguments(self._next_error))
        self.define(":SYSTem:ERRor:COUNt", query=no_arguments(lambda: str(status.error_count)))
        self.define(":SYSTem:VERSion", query=no_arguments(lambda: "1999.0"))
        self.define(":STATus:PRESet", set=action(status.preset))
        self._define_register(":STATus:OPERation", status.operation)
        self._define_register(":STATus:QUEStionable", status.questionable)

    def _define_register(self, header: str, register: Register) -> None:
        self.define(f"{header}[:EVENt]", query=no_arguments(lambda: str(register.take_event())))
        self.define(f"{header}:CONDition", query=no_arguments(lambda: str(register.condition)))
        self._define_mask(f"{header}:ENABle", register, "enable", 32767)

    def _define_mask(self, header: str, owner: object, name: str, high: int) -> None:
        def set_mask(arguments: list[str]) -> None:
            setattr(owner, name, parse_integer(one(arguments), 0, high))

        self.define(header, set=set_mask, query=no_arguments(lambda: str(getattr(owner, name))))

    def _status_byte(self) -> str:
        return str(self.status.byte(message_available=self._message_available))

    def _complete(self) -> None:
        self.status.event_status |= OPERATION_COMPLETE


class ScpiSession:
    """One client of an instrument, by messages (`write`, `read`) or by bytes (`receive`, `take`).

    Messages keep the 488.2 rules of the output queue: an unread response is lost to the next
    message (-410), and reading without having asked fails (-420). Bytes are a stream: responses
    leave at once, each closed by a line feed.
    """

    def __init__(self, instrument: ScpiInstrument) -> None:
        self.on_output: Callable[[], None] = lambda: None
        self.on_hang_up: Callable[[], None] = lambda: None
        self._instrument = instrument
        self._response: str | None = None
        self._input = bytearray()
        self._output = bytearray()

    def write(self, message: str) -> None:
        """Executes a program message."""
        if self._response is not None:
            self._response = None
            self._instrument.status.report(ScpiError(-410))
        self._response = self._instrument.execute(message.strip())

    def read(self) -> str | None:
        """The response message; None, and error -420, if there is none."""
        response, self._response = self._response, None
        if response is None:
            self._instrument.status.report(ScpiError(-420))
        return response

    @property
    def message_available(self) -> bool:
        return self._response is not None or bool(self._output)

    def status_byte(self) -> int:
        """The status byte as a serial poll reads it."""
        return self._instrument.status.byte(message_available=self.message_available)

    def clear(self) -> None:
        """Device clear: empties this client's buffers, touches nothing else."""
        self._response = None
        self._input.clear()
        self._output.clear()

    def receive(self, data: bytes) -> None:
        """Takes bytes of the stream; every line is a program message."""
        self._input += data
        *lines, rest = self._input.split(b"\n")
        self._input = rest
        for line in lines:
            self.write(line.decode("ascii", "replace"))
            if self._response is not None:
                self._output += self._response.encode("ascii", "replace") + b"\n"
                self._response = None
        if len(self._input) > _INPUT_BYTES:
            self._input.clear()
            self._instrument.status.report(ScpiError(-363))
        if self._output:
            self.on_output()

    def take(self, limit: int) -> bytes:
        """Removes and returns up to limit bytes of output."""
        data = bytes(self._output[:limit])
        del self._output[:limit]
        return data


def one(arguments: list[str]) -> str:
    """The only argument; ScpiError -109 or -108 if there are fewer or more."""
    if not arguments or not arguments[0]:
        raise ScpiError(-109)
    if len(arguments) > 1:
        raise ScpiError(-108, arguments[1])
    return arguments[0]


def no_arguments(answer: Callable[[], str]) -> Getter:
    """A query form that takes no argument."""

    def query(arguments: list[str]) -> str:
        if arguments:
            raise ScpiError(-108, arguments[0])
        return answer()

    return query


def action(run: Callable[[], None]) -> Setter:
    """A set form that takes no argument."""

    def set_form(arguments: list[str]) -> None:
        if arguments:
            raise ScpiError(-108, arguments[0])
        run()

    return set_form

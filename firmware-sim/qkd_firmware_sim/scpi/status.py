"""The status model of IEEE 488.2 clause 11 and SCPI-99 vol. 1 chapter 9."""

from collections import deque

from qkd_firmware_sim.scpi.syntax import ERROR_TEXTS, ScpiError

OPERATION_COMPLETE = 1
QUERY_ERROR = 4
DEVICE_ERROR = 8
EXECUTION_ERROR = 16
COMMAND_ERROR = 32
POWER_ON = 128

ERROR_AVAILABLE = 4
QUESTIONABLE_SUMMARY = 8
MESSAGE_AVAILABLE = 16
EVENT_SUMMARY = 32
MASTER_SUMMARY = 64
OPERATION_SUMMARY = 128

_QUEUE_LENGTH = 32


class Register:
    """A condition register with its latched events and their enable mask, 15 bits each."""

    def __init__(self) -> None:
        self.condition = 0
        self.enable = 0
        self._event = 0

    def set(self, bits: int, on: bool) -> None:
        """Sets condition bits; those that rise are latched as events."""
        before = self.condition
        self.condition = before | bits if on else before & ~bits
        self._event |= self.condition & ~before

    def take_event(self) -> int:
        """The latched events, which reading clears."""
        event, self._event = self._event, 0
        return event

    @property
    def summary(self) -> bool:
        return bool(self._event & self.enable)


class Status:
    """The error queue and the registers of one instrument, shared by all its clients."""

    def __init__(self) -> None:
        self.event_status = POWER_ON
        self.event_enable = 0
        self.service_enable = 0
        self.questionable = Register()
        self.operation = Register()
        self._errors: deque[tuple[int, str]] = deque()

    def report(self, error: ScpiError) -> None:
        """Queues an error and sets its class in the event status register.

        A full queue turns its last entry into -350.
        """
        if len(self._errors) < _QUEUE_LENGTH:
            self._errors.append((error.code, error.text))
        else:
            self._errors[-1] = (-350, ERROR_TEXTS[-350])
        self.event_status |= _error_class(error.code)

    def next_error(self) -> str:
        """The oldest error as ``SYST:ERR?`` answers it."""
        code, text = self._errors.popleft() if self._errors else (0, "No error")
        quoted = text.replace('"', "'")
        return f'{code:+d},"{quoted}"'

    @property
    def error_count(self) -> int:
        return len(self._errors)

    def take_event_status(self) -> int:
        event, self.event_status = self.event_status, 0
        return event

    def byte(self, *, message_available: bool) -> int:
        """The status byte with the master summary in bit 6."""
        value = ERROR_AVAILABLE if self._errors else 0
        value |= QUESTIONABLE_SUMMARY if self.questionable.summary else 0
        value |= MESSAGE_AVAILABLE if message_available else 0
        value |= EVENT_SUMMARY if self.event_status & self.event_enable else 0
        value |= OPERATION_SUMMARY if self.operation.summary else 0
        if value & self.service_enable & ~MASTER_SUMMARY:
            value |= MASTER_SUMMARY
        return value

    def clear(self) -> None:
        """``*CLS``: empties the queue and the events; enables stay."""
        self._errors.clear()
        self.event_status = 0
        self.questionable.take_event()
        self.operation.take_event()

    def preset(self) -> None:
        """``STAT:PRES``: clears the enables of the SCPI registers."""
        self.questionable.enable = 0
        self.operation.enable = 0


def _error_class(code: int) -> int:
    if -200 < code <= -100:
        return COMMAND_ERROR
    if -300 < code <= -200:
        return EXECUTION_ERROR
    if -500 < code <= -400:
        return QUERY_ERROR
    return DEVICE_ERROR

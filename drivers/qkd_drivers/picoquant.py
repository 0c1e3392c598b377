"""PicoQuant's programming libraries: MHLib, HHLib and TH260Lib, loaded from the vendor's file.

They differ by a prefix and in a few signatures, as the vendor's public headers have them. Calls
block and let other Python threads run; one thread at a time may use a device.
"""

from dataclasses import dataclass
from typing import Any

from cffi import FFI

from qkd_drivers.errors import DeviceError, DeviceNotFound, DeviceProtocolError, DeviceRefused

MOST_DEVICES = 8
FIFO_FULL = 0x0002
_MODE_T2 = 2
_TEXT_BYTES = 256

_COMMON = """
int {p}GetLibraryVersion(char *version);
int {p}GetErrorString(char *text, int code);
int {p}OpenDevice(int device, char *serial);
int {p}CloseDevice(int device);
int {p}GetHardwareInfo(int device, char *model, char *part, char *version);
int {p}GetBaseResolution(int device, double *resolution_ps, int *steps);
int {p}GetNumOfInputChannels(int device, int *count);
int {p}SetSyncDiv(int device, int divider);
int {p}StartMeas(int device, int milliseconds);
int {p}StopMeas(int device);
int {p}CTCStatus(int device, int *ended);
int {p}GetFlags(int device, int *flags);
int {p}GetSyncRate(int device, int *rate);
int {p}GetCountRate(int device, int channel, int *rate);
"""
_EDGES = """
int {p}SetSyncEdgeTrg(int device, int level_mv, int edge);
int {p}SetInputEdgeTrg(int device, int channel, int level_mv, int edge);
"""
_FRACTIONS = """
int {p}SetSyncCFD(int device, int level_mv, int zero_cross_mv);
int {p}SetInputCFD(int device, int channel, int level_mv, int zero_cross_mv);
"""


@dataclass(frozen=True)
class Family:
    """What one library has of its own."""

    prefix: str
    mark: str
    """In the names of its models."""
    declarations: str
    record_type: int
    """Of the words in its FIFO, as PTU files call it."""
    most_records: int
    """In one reading of the FIFO; its buffer must have that room."""
    reads_with_count: bool
    takes_reference: bool
    """Whether the clock can be chosen."""
    calibrates: bool
    faults: dict[int, str]
    """Flags after which the tags cannot be trusted."""
    drops: int = FIFO_FULL
    """Flags by which tags were dropped."""


MULTIHARP = Family(
    "MH_",
    "MultiHarp",
    _COMMON
    + _EDGES
    + "int {p}Initialize(int device, int mode, int reference);"
    + "int {p}ReadFiFo(int device, unsigned int *buffer, int *count);",
    0x00010207,
    1 << 20,
    reads_with_count=False,
    takes_reference=True,
    calibrates=False,
    faults={0x0008: "the reference clock was lost", 0x0010: "a hardware error"},
    drops=FIFO_FULL | 0x0040,
)
HYDRAHARP = Family(
    "HH_",
    "HydraHarp",
    _COMMON
    + _FRACTIONS
    + "int {p}Initialize(int device, int mode, int reference);"
    + "int {p}Calibrate(int device);"
    + "int {p}ReadFiFo(int device, unsigned int *buffer, int most, int *count);",
    0x01010204,
    1 << 17,
    reads_with_count=True,
    takes_reference=True,
    calibrates=True,
    faults={0x0008: "the reference clock was lost", 0x0010: "a hardware error"},
)
TIMEHARP = Family(
    "TH260_",
    "TimeHarp",
    _COMMON
    + _EDGES
    + _FRACTIONS
    + "int {p}Initialize(int device, int mode);"
    + "int {p}ReadFiFo(int device, unsigned int *buffer, int most, int *count);",
    0x00010206,
    1 << 17,
    reads_with_count=True,
    takes_reference=False,
    calibrates=False,
    faults={0x0010: "a hardware error", 0x0020: "a software error"},
    drops=FIFO_FULL | 0x0008,
)


class CallFailed(DeviceError):
    """A function of the library returned an error; ``code`` is its number."""

    def __init__(self, message: str, *, code: int = 0, partial: bytes = b"") -> None:
        super().__init__(message, partial=partial)
        self.code = code


class Library:
    """One loaded library. Every call may raise CallFailed with number and text."""

    def __init__(self, path: str, family: Family) -> None:
        """DeviceNotFound if the file is not there or no library; DeviceRefused if another one."""
        self.family = family
        self._ffi = FFI()
        self._ffi.cdef(family.declarations.format(p=family.prefix))
        try:
            self._lib: Any = self._ffi.dlopen(path)
        except OSError as error:
            raise DeviceNotFound(
                f"the library {path} cannot be loaded ({error}): install the vendor's and name it"
            ) from error
        try:
            self.version = self._text(1, "GetLibraryVersion")[0]
        except AttributeError as error:
            raise DeviceRefused(
                f"the library {path} is not that of a {family.mark}: {error}"
            ) from error
        self._words = self._ffi.new("unsigned int[]", family.most_records)

    def open(self, device: int) -> str:
        """Its serial number."""
        return self._text(1, "OpenDevice", device)[0]

    def close(self, device: int) -> None:
        self.call("CloseDevice", device)

    def initialize(self, device: int, reference: int) -> None:
        """Sets T2 mode and the clock, which takes back every other setting."""
        arguments = (reference,) if self.family.takes_reference else ()
        self.call("Initialize", device, _MODE_T2, *arguments)
        if self.family.calibrates:
            self.call("Calibrate", device)

    def hardware(self, device: int) -> tuple[str, str]:
        """Model and version."""
        model, _, version = self._text(3, "GetHardwareInfo", device)
        return model, version

    def resolution_ps(self, device: int) -> float:
        resolution = self._ffi.new("double *")
        self.call("GetBaseResolution", device, resolution, self._ffi.new("int *"))
        return float(resolution[0])

    def number(self, name: str, *arguments: int) -> int:
        """What a function writes into its last argument."""
        number = self._ffi.new("int *")
        self.call(name, *arguments, number)
        return int(number[0])

    def read(self, device: int) -> memoryview:
        """The words in the FIFO, valid until the next reading."""
        count = self._ffi.new("int *")
        most = (self.family.most_records,) if self.family.reads_with_count else ()
        self.call("ReadFiFo", device, self._words, *most, count)
        if not 0 <= count[0] <= self.family.most_records:
            raise DeviceProtocolError(f"ReadFiFo: {count[0]} records fit no buffer")
        return memoryview(self._ffi.buffer(self._words, 4 * count[0]))

    def call(self, name: str, *arguments: object) -> None:
        code = int(getattr(self._lib, self.family.prefix + name)(*arguments))
        if code < 0:
            text = self._ffi.new("char[]", _TEXT_BYTES)
            getattr(self._lib, self.family.prefix + "GetErrorString")(text, code)
            told = self._ffi.string(text).decode("latin-1").strip()
            raise CallFailed(f"{self.family.prefix}{name}: error {code} ({told})", code=code)

    def _text(self, count: int, name: str, *arguments: int) -> list[str]:
        """The texts that a function writes into its last arguments."""
        texts = [self._ffi.new("char[]", _TEXT_BYTES) for _ in range(count)]
        self.call(name, *arguments, *texts)
        return [self._ffi.string(text).decode("latin-1").strip() for text in texts]

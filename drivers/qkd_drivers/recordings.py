"""Files of time tags, as instruments and vendors' programs leave them.

A file is opened, which reads its header and measures its length, then read a piece at a time. What
shows that a file was cut short is told (``cut_short``); it is read as far as it goes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, get_args

import numpy as np

from qkd_drivers.ptu import PTU_MAGIC, read_ptu_header
from qkd_native.decode import (
    Recording,
    T2Decoder,
    decode_a1,
    decode_idq,
    decode_legacy,
    decode_qutag,
)

Format = Literal[
    "a0", "a0x", "a1", "a1x", "a2", "a2x", "legacy", "ptu", "qutag", "qutag-raw", "idq"
]
FORMATS: tuple[Format, ...] = get_args(Format)

_QUTAG_MAGIC = bytes.fromhex("87b391fa")
_QUTAG_HEADER_BYTES = 40
_QUTAG_RECORD_BYTES = 10
_LONGEST_PTU_HEADER_BYTES = 1 << 20
_A1_STEP_PS = 1000 / 256

Decode = Callable[[bytes], Recording]


@dataclass(frozen=True)
class RecordedFile:
    """A file of tags, looked at but not read."""

    path: Path
    format: Format
    header_bytes: int
    record_bytes: int
    records: int
    """Whole records that can be read."""
    make_decode: Callable[[], Decode]
    """A decoder of whole records, fresh for each reading."""
    resolution_ps: float = 1.0
    cut_short: str = ""
    """By what one sees that the end is missing."""
    fault: str = ""
    """What ended the recording, as its instrument says, where that was a failure."""
    instrument: str = ""
    serial_number: str = ""


class RecordingReader:
    """Reads a file a piece at a time; a context that closes it."""

    def __init__(self, file: RecordedFile) -> None:
        self._file = file
        self._left = file.records
        self._decode = file.make_decode()
        self._handle: BinaryIO = file.path.open("rb")
        self._handle.seek(file.header_bytes)

    def read(self, records: int) -> Recording:
        """The tags of the next records, none after the last.

        ValueError if the bytes are not of the format, or the file has become shorter.
        """
        count = min(records, self._left)
        data = self._handle.read(count * self._file.record_bytes)
        self._left -= count
        if len(data) <= (count - 1) * self._file.record_bytes:
            raise ValueError("the file has become shorter while it was read")
        return self._decode(data)

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_recording(
    path: Path, file_format: Format | None = None, *, channel: int = 1
) -> RecordedFile:
    """Looks at a file; channel is that of formats which carry none.

    PTU and quTAG files are known by their first bytes. The others have no header, so their format
    must be named. ValueError if the file is not of this format, OSError if it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(_LONGEST_PTU_HEADER_BYTES)
    match file_format or _told_by(head):
        case "ptu":
            return _ptu(path, size, head)
        case "qutag":
            return _qutag(path, size, head)
        case "a0" | "a0x" | "a2" | "a2x" as text:
            return _text_events(path, size, head, text)
        case "a1" | "a1x" as binary:
            swapped = binary.endswith("x")

            def decode(data: bytes) -> Recording:
                return _checked_a1(data, swapped)

            return _plain(path, binary, size, 8, decode, _A1_STEP_PS)
        case "legacy":
            return _plain(path, "legacy", size, 8, decode_legacy, 125.0)
        case "qutag-raw":
            return _plain(path, "qutag-raw", size, _QUTAG_RECORD_BYTES, _qutag_records)
        case "idq":
            return _plain(path, "idq", size, 8, lambda data: decode_idq(data, channel=channel))


def read_recording(path: Path, file_format: Format | None = None) -> Recording:
    """All tags of a file at once; errors as `open_recording`."""
    file = open_recording(path, file_format)
    with RecordingReader(file) as reader:
        return reader.read(file.records)


def _told_by(head: bytes) -> Format:
    if head.startswith(PTU_MAGIC):
        return "ptu"
    if head.startswith(_QUTAG_MAGIC):
        return "qutag"
    raise ValueError(
        "its first bytes tell no format: it is neither PTU nor quTAG; name the format, "
        f"one of {', '.join(FORMATS)}"
    )


def _plain(
    path: Path,
    file_format: Format,
    size: int,
    record_bytes: int,
    decode: Decode,
    resolution_ps: float = 1.0,
) -> RecordedFile:
    """Records of one length and nothing else."""
    records, torn = divmod(size, record_bytes)
    cut_short = f"{torn} bytes follow its last whole record" if torn else ""
    return RecordedFile(
        path, file_format, 0, record_bytes, records, lambda: decode, resolution_ps, cut_short
    )


def _checked_a1(data: bytes, swapped: bool) -> Recording:
    # Bits 6 to 9 of an event are 1100 from a TDC2 and 0 from a TDC1.
    low = np.frombuffer(data, "<u4", 2 * (len(data) // 8))[int(swapped) :: 2]
    filler = low >> 6 & 0xF
    if np.any((filler != 0b1100) & (filler != 0)):
        order = "swapped" if swapped else "plain"
        raise ValueError(f"these are no S-Fifteen events of 64 bits in {order} order of halves")
    return decode_a1(data, swapped=swapped)


def _text_events(path: Path, size: int, head: bytes, file_format: Format) -> RecordedFile:
    """Events in hexadecimal: in two lines, the first half first (a0), or in one (a2)."""
    digits, lines = (8, 2) if file_format.startswith("a0") else (16, 1)
    line_bytes = head.find(b"\n", 0, digits + 2) + 1
    if size and line_bytes not in (digits + 1, digits + 2):
        raise ValueError(f"these are no lines of {digits} hexadecimal digits")
    end_bytes = max(1, line_bytes - digits)
    record_bytes = lines * (digits + end_bytes)
    records = (size + end_bytes) // record_bytes  # the last line may lack its end
    torn = size - records * record_bytes
    cut_short = "its last event is not whole" if torn not in (0, -end_bytes) else ""

    def decode(data: bytes) -> Recording:
        try:
            halves = np.frombuffer(bytes.fromhex(data.decode("ascii")), f">u{digits // 2}")
        except ValueError:
            raise ValueError(f"these are no lines of {digits} hexadecimal digits") from None
        if halves.nbytes != 8 * -(-len(data) // record_bytes):
            raise ValueError(f"some line is not of {digits} hexadecimal digits")
        events = halves.astype(f"<u{digits // 2}").tobytes()
        return _checked_a1(events, file_format.endswith("x"))

    return RecordedFile(
        path, file_format, 0, record_bytes, records, lambda: decode, _A1_STEP_PS, cut_short
    )


def _qutag(path: Path, size: int, head: bytes) -> RecordedFile:
    if not head.startswith(_QUTAG_MAGIC):
        raise ValueError("this is not a quTAG file: its magic bytes are missing")
    if len(head) < _QUTAG_HEADER_BYTES:
        raise ValueError("the quTAG header has no end: the file is cut short")
    announced = int.from_bytes(head[4:8], "little")
    cut_short = ""
    if announced != size:
        cut_short = f"its header says {announced} bytes, it has {size}"
    records = (size - _QUTAG_HEADER_BYTES) // _QUTAG_RECORD_BYTES
    return RecordedFile(
        path,
        "qutag",
        _QUTAG_HEADER_BYTES,
        _QUTAG_RECORD_BYTES,
        records,
        lambda: _qutag_records,
        cut_short=cut_short,
        instrument="quTAG",
    )


def _qutag_records(data: bytes) -> Recording:
    if any(data[_QUTAG_RECORD_BYTES - 1 :: _QUTAG_RECORD_BYTES]):
        raise ValueError("these are no quTAG records: a channel is above 255")
    return decode_qutag(data, header="absent")


def _ptu(path: Path, size: int, head: bytes) -> RecordedFile:
    header = read_ptu_header(head)
    record_type = int(header.number("TTResultFormat_TTTRRecType"))
    resolution_ps = round(header.number("MeasDesc_GlobalResolution") * 1e12, 3)
    T2Decoder(record_type, resolution_ps)  # refuses what it cannot decode
    records, torn = divmod(size - header.size_bytes, 4)
    # A run that was broken off leaves a count of 0 or of what was planned.
    announced = header.tags.get("TTResult_NumberOfRecords")
    cut_short = f"{torn} bytes follow its last whole record" if torn else ""
    if isinstance(announced, int) and announced > 0:
        if announced > records:
            cut_short = f"its header says {announced} records, it has {records}"
        records = min(records, announced)

    def make_decode() -> Decode:
        decoder = T2Decoder(record_type, resolution_ps)

        def decode(data: bytes) -> Recording:
            before = decoder.overflow_records
            times, channels = decoder.feed(data)
            backward = int(np.count_nonzero(np.diff(times) < 0))
            overflows = decoder.overflow_records - before
            return Recording(times, channels, len(data) // 4, overflows, backward)

        return decode

    return RecordedFile(
        path,
        "ptu",
        header.size_bytes,
        4,
        records,
        make_decode,
        resolution_ps,
        cut_short,
        header.fault,
        header.text("HW_Type") or "PicoQuant",
        header.text("HW_SerialNo"),
    )

"""Files of time tags, as instruments and vendors' programs leave them.

A file that ends early, or whose header miscounts, is read as far as it goes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qkd_native.decode import (
    Recording,
    T2Decoder,
    decode_a1,
    decode_idq,
    decode_legacy,
    decode_qutag,
)

PtuValue = bool | int | float | str | bytes | None
Format = Literal["a1", "a1x", "legacy", "ptu", "qutag", "qutag-raw", "idq"]

_PTU_MAGIC = b"PQTTTR\0\0"
_PTU_TAG = struct.Struct("<32siI8s")
_PTU_PREAMBLE_BYTES = 16
_PTU_VARIABLE = {0x2001FFFF, 0x4001FFFF, 0x4002FFFF, 0xFFFFFFFF}


def read_recording(path: Path, file_format: Format) -> Recording:
    """All tags of a file; ValueError if it is not of this format, OSError if it cannot be read.

    The S-Fifteen formats carry no header, so the format cannot be told from the file.
    """
    data = path.read_bytes()
    match file_format:
        case "a1":
            return decode_a1(data)
        case "a1x":
            return decode_a1(data, swapped=True)
        case "legacy":
            return decode_legacy(data)
        case "ptu":
            return _read_ptu(data)
        case "qutag":
            return decode_qutag(data)
        case "qutag-raw":
            return decode_qutag(data, header="absent")
        case "idq":
            return decode_idq(data, channel=1)


@dataclass(frozen=True)
class PtuHeader:
    """The tags of a PTU header by name, an index appended where there is one (``Name[0]``)."""

    tags: Mapping[str, PtuValue]
    size_bytes: int

    def number(self, name: str) -> float:
        """A numeric tag; ValueError if it is absent."""
        value = self.tags.get(name)
        if not isinstance(value, int | float):
            raise ValueError(f"the PTU header has no number {name}")
        return value


def read_ptu_header(data: bytes) -> PtuHeader:
    """The header at the start of a PTU file (PicoQuant, Time Tagged File Format, 2.3)."""
    if data[:8] != _PTU_MAGIC:
        raise ValueError("this is not a PTU file: its magic bytes are missing")
    tags: dict[str, PtuValue] = {}
    position = _PTU_PREAMBLE_BYTES
    while position + _PTU_TAG.size <= len(data):
        ident, index, kind, raw = _PTU_TAG.unpack_from(data, position)
        position += _PTU_TAG.size
        name = ident.split(b"\0", 1)[0].decode("ascii", "replace")
        if name == "Header_End":
            return PtuHeader(tags, position)
        extra = b""
        if kind in _PTU_VARIABLE:
            length = int.from_bytes(raw, "little")
            extra = data[position : position + length]
            position += length
        tags[name if index < 0 else f"{name}[{index}]"] = _ptu_value(kind, raw, extra)
    raise ValueError("the PTU header has no end: the file is cut short")


def _read_ptu(data: bytes) -> Recording:
    header = read_ptu_header(data)
    record_type = int(header.number("TTResultFormat_TTTRRecType"))
    resolution_ps = round(header.number("MeasDesc_GlobalResolution") * 1e12, 3)
    present = (len(data) - header.size_bytes) // 4
    # A run that was broken off leaves a count of 0 or of what was planned.
    announced = header.tags.get("TTResult_NumberOfRecords")
    records = present
    if isinstance(announced, int) and 0 < announced < present:
        records = announced
    decoder = T2Decoder(record_type, resolution_ps)
    body = memoryview(data)[header.size_bytes : header.size_bytes + 4 * records]
    times, channels = decoder.feed(body)
    backward = int(np.count_nonzero(np.diff(times) < 0))
    return Recording(times, channels, records, decoder.overflow_records, backward)


def _ptu_value(kind: int, raw: bytes, extra: bytes) -> PtuValue:
    match kind:
        case 0x00000008:
            return bool(int.from_bytes(raw, "little"))
        case 0x10000008 | 0x11000008 | 0x12000008:
            return int.from_bytes(raw, "little", signed=kind == 0x10000008)
        case 0x20000008 | 0x21000008:
            return float(struct.unpack("<d", raw)[0])
        case 0x4001FFFF:
            return extra.split(b"\0", 1)[0].decode("cp1252", "replace")
        case 0x4002FFFF:
            return extra.decode("utf-16-le", "replace").split("\0", 1)[0]
        case 0x2001FFFF | 0xFFFFFFFF:
            return extra
    return None

"""The header of PicoQuant's PTU files ("Time Tagged File Format", 2.3)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

PTU_MAGIC = b"PQTTTR\0\0"
PtuValue = bool | int | float | str | bytes | None

_TAG = struct.Struct("<32siI8s")
_PREAMBLE_BYTES = 16
_VARIABLE = {0x2001FFFF, 0x4001FFFF, 0x4002FFFF, 0xFFFFFFFF}
# TTResult_StopReason, as the independent reader `ptufile` names its values.
_FAULTS = {
    -2: "its FIFO overran",
    -4: "its electronics failed",
    -5: "its file could not be written",
    -6: "its host ran out of memory",
    -7: "its host was suspended",
    -8: "a system error",
    -9: "a queue of its host overran",
    -10: "a data transfer failed",
    -11: "a data check failed",
    -12: "its reference clock was lost",
    -13: "its sync was lost",
}


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

    def text(self, name: str) -> str:
        """A text tag; empty if it is absent."""
        value = self.tags.get(name)
        return value.strip() if isinstance(value, str) else ""

    @property
    def fault(self) -> str:
        """What ended the measurement, where it was not its time or its operator; else empty."""
        reason = self.tags.get("TTResult_StopReason")
        return _FAULTS.get(reason, "") if isinstance(reason, int) else ""


def read_ptu_header(data: bytes) -> PtuHeader:
    """The header at the start of a PTU file; ValueError if it is none, or is cut short."""
    if data[:8] != PTU_MAGIC:
        raise ValueError("this is not a PTU file: its magic bytes are missing")
    tags: dict[str, PtuValue] = {}
    position = _PREAMBLE_BYTES
    while position + _TAG.size <= len(data):
        ident, index, kind, raw = _TAG.unpack_from(data, position)
        position += _TAG.size
        name = ident.split(b"\0", 1)[0].decode("ascii", "replace")
        if name == "Header_End":
            return PtuHeader(tags, position)
        extra = b""
        if kind in _VARIABLE:
            length = int.from_bytes(raw, "little")
            extra = data[position : position + length]
            position += length
        tags[name if index < 0 else f"{name}[{index}]"] = _value(kind, raw, extra)
    raise ValueError("the PTU header has no end: the file is cut short")


def _value(kind: int, raw: bytes, extra: bytes) -> PtuValue:
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

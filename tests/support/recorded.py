"""Recordings for tests: of real instruments, where there are any, and small ones made here."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest


def recorded(name: str) -> Path:
    """A file of the folder that QKDLINK_RECORDINGS names; the test is skipped without it."""
    folder = os.environ.get("QKDLINK_RECORDINGS")
    if not folder:
        pytest.skip("QKDLINK_RECORDINGS names no folder of recordings")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


def a1_bytes(times_ps: Iterable[int], pattern: int = 0b0001) -> bytes:
    """S-Fifteen a1 events; times are rounded down to 1/256 ns."""
    return b"".join(
        struct.pack("<Q", (time * 32 // 125) << 10 | 0b1100 << 6 | pattern) for time in times_ps
    )


def ptu_tag(name: str, kind: int, value: bytes, index: int = -1) -> bytes:
    return struct.pack("<32siI8s", name.encode(), index, kind, value)


def ptu_bytes(
    announced: int,
    records: bytes,
    *,
    record_type: int = 0x00010207,
    resolution_s: float = 8e-11,
    stop_reason: int = 0,
) -> bytes:
    """A PTU file with a text, an indexed number and what a reader needs."""
    return (
        b"PQTTTR\0\x001.0.00\0\0"
        + ptu_tag("File_Comment", 0x4001FFFF, struct.pack("<q", 8))
        + b"made \xb5\0\0"
        + ptu_tag("HW_SerialNo", 0x4001FFFF, struct.pack("<q", 8))
        + b"1044556\0"
        + ptu_tag("Curve", 0x20000008, struct.pack("<d", 2.5), index=3)
        + ptu_tag("TTResultFormat_BitsPerRecord", 0x10000008, struct.pack("<q", 32))
        + ptu_tag("Measurement_Mode", 0x10000008, struct.pack("<q", 2))
        + ptu_tag("TTResult_StopReason", 0x10000008, struct.pack("<q", stop_reason))
        + ptu_tag("TTResultFormat_TTTRRecType", 0x10000008, struct.pack("<q", record_type))
        + ptu_tag("MeasDesc_GlobalResolution", 0x20000008, struct.pack("<d", resolution_s))
        + ptu_tag("TTResult_NumberOfRecords", 0x10000008, struct.pack("<q", announced))
        + ptu_tag("Header_End", 0xFFFF0008, bytes(8))
        + records
    )

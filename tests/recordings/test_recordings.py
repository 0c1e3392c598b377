"""Files from real instruments, where QKDLINK_RECORDINGS names them, and small ones made here."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from qkd_drivers.recordings import Recording, read_ptu_header, read_recording


def recorded(name: str) -> Path:
    folder = os.environ.get("QKDLINK_RECORDINGS")
    if not folder:
        pytest.skip("QKDLINK_RECORDINGS names no folder of recordings")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


def tags_per_channel(recording: Recording) -> dict[int, int]:
    channels, counts = np.unique(recording.channels, return_counts=True)
    return dict(zip(channels.tolist(), counts.tolist(), strict=True))


def test_tdc2_calibration() -> None:
    found = read_recording(recorded("tdc2_qkd_calibration.a1.ts"), "a1")
    assert (found.words, found.dummies, found.backward_steps) == (2000, 0, 0)
    times, starts = np.unique(found.times_ps, return_index=True)
    lone = np.diff(np.append(starts, len(found.times_ps))) == 1
    lone_channels = found.channels[starts[lone]]
    assert np.bincount(lone_channels).tolist() == [0, 614, 481, 476, 417]
    assert len(times) == 2000 and np.count_nonzero(~lone) == 12
    assert times[-1] - times[0] == pytest.approx(0.935e9, rel=1e-3)


def test_tdc2_rollover() -> None:
    found = read_recording(recorded("tdc2_rollover.a1x.ts"), "a1x")
    assert (found.words, found.dummies, found.backward_steps) == (1000, 138, 8)
    assert tags_per_channel(found) == {1: 431, 4: 431}
    steps = np.diff(found.times_ps)
    assert sorted(-steps[steps < 0] // 1_000_000) == [40, 58, 85, 96]
    first, second = (found.times_ps[found.channels == channel] for channel in (1, 4))
    assert np.median(np.sort(second) - np.sort(first)) == pytest.approx(139_000, abs=1000)


def test_hydraharp_t2() -> None:
    path = recorded("hydraharp400_t2_hbt.ptu")
    header = read_ptu_header(path.read_bytes())
    assert header.tags["TTResultFormat_TTTRRecType"] == 0x01010204
    assert header.tags["TTResult_NumberOfRecords"] == 409_482
    assert header.number("MeasDesc_GlobalResolution") == pytest.approx(1e-12)
    found = read_recording(path, "ptu")
    assert (found.words, found.dummies) == (409_482, 25_463)
    assert tags_per_channel(found) == {1: 159_298, 2: 224_721}


def test_qutag() -> None:
    found = read_recording(recorded("qutag_80mhz_hbt.qutag"), "qutag")
    assert (found.words, found.backward_steps) == (267_801, 173)
    assert set(tags_per_channel(found)) == {1, 2, 5}
    assert found.times_ps[-1] - found.times_ps[0] == pytest.approx(5.04e12, rel=1e-3)


def ptu_tag(name: str, kind: int, value: bytes, index: int = -1) -> bytes:
    return struct.pack("<32siI8s", name.encode(), index, kind, value)


def ptu_bytes(announced: int, records: bytes) -> bytes:
    return (
        b"PQTTTR\0\x001.0.00\0\0"
        + ptu_tag("File_Comment", 0x4001FFFF, struct.pack("<q", 8))
        + b"made \xb5\0\0"
        + ptu_tag("Curve", 0x20000008, struct.pack("<d", 2.5), index=3)
        + ptu_tag("TTResultFormat_TTTRRecType", 0x10000008, struct.pack("<q", 0x00010207))
        + ptu_tag("MeasDesc_GlobalResolution", 0x20000008, struct.pack("<d", 8e-11))
        + ptu_tag("TTResult_NumberOfRecords", 0x10000008, struct.pack("<q", announced))
        + ptu_tag("Header_End", 0xFFFF0008, bytes(8))
        + records
    )


@pytest.mark.parametrize(("announced", "read"), [(0, 3), (2, 2), (3, 3), (99, 3)])
def test_a_ptu_file_with_a_wrong_record_count(tmp_path: Path, announced: int, read: int) -> None:
    path = tmp_path / "run.ptu"
    records = struct.pack("<III", 1, 0xFE000002, 1 << 25 | 1)
    path.write_bytes(ptu_bytes(announced, records + b"to"))
    found = read_recording(path, "ptu")
    assert found.words == read and found.dummies == 1
    assert found.times_ps.tolist() == [80, 80 * ((2 << 25) + 1)][: read - 1]
    header = read_ptu_header(path.read_bytes())
    assert header.tags["File_Comment"] == "made µ" and header.tags["Curve[3]"] == 2.5


@pytest.mark.parametrize("length", [0, 7, 20, 200])
def test_what_is_no_ptu_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "run.ptu"
    path.write_bytes(ptu_bytes(0, b"")[:length])
    with pytest.raises(ValueError, match="PTU"):
        read_recording(path, "ptu")


def test_small_files_of_the_headerless_formats(tmp_path: Path) -> None:
    path = tmp_path / "tags"
    a1 = struct.pack("<QQ", 256_000 << 10 | 0b1100 << 6 | 5, 512_000 << 10 | 0x10)
    path.write_bytes(a1)
    assert read_recording(path, "a1").times_ps.tolist() == [1_000_000, 1_000_000]
    path.write_bytes(b"".join(a1[i + 4 : i + 8] + a1[i : i + 4] for i in (0, 8)))
    assert read_recording(path, "a1x").channels.tolist() == [1, 3]
    path.write_bytes(struct.pack("<II", 1, 1 << 15 | 2))
    assert read_recording(path, "legacy").times_ps.tolist() == [125 * ((1 << 17) + 1)]
    path.write_bytes(struct.pack("<QH", 42, 2))
    assert read_recording(path, "qutag-raw").times_ps.tolist() == [42]
    path.write_bytes(struct.pack("<Q", 43))
    assert read_recording(path, "idq").times_ps.tolist() == [43]

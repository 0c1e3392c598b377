"""Files from real instruments, where QKDLINK_RECORDINGS names them, and small ones made here."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import a1_bytes, ptu_bytes, recorded

from qkd_drivers.ptu import read_ptu_header
from qkd_drivers.recordings import (
    Format,
    Recording,
    RecordingReader,
    open_recording,
    read_recording,
)


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


def hexadecimal(data: bytes, digits: int, end: str = "\n") -> str:
    width = digits // 2
    words = [data[i : i + width][::-1].hex() for i in range(0, len(data), width)]
    return "".join(word + end for word in words)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(("file_format", "digits"), [("a0", 8), ("a2", 16)])
def test_hexadecimal_text_holds_what_binary_events_hold(
    tmp_path: Path, file_format: Format, digits: int, swapped: bool, end: str
) -> None:
    path = tmp_path / "tags"
    plain = a1_bytes(range(0, 10**9, 10**6), 0b0101)
    data = plain
    if swapped:
        file_format = {"a0": "a0x", "a2": "a2x"}[file_format]  # type: ignore[assignment]
        data = b"".join(plain[i + 4 : i + 8] + plain[i : i + 4] for i in range(0, len(plain), 8))
    text = hexadecimal(data, digits, end)
    path.write_bytes(plain)
    binary = read_recording(path, "a1")
    for written in (text, text.removesuffix(end)):
        path.write_text(written, newline="")
        found = read_recording(path, file_format)
        assert found.words == binary.words == 1000
        assert np.array_equal(found.times_ps, binary.times_ps)
        assert np.array_equal(found.channels, binary.channels)


def test_a_real_recording_reads_the_same_as_text(tmp_path: Path) -> None:
    path = recorded("tdc2_rollover.a1x.ts")
    binary = read_recording(path, "a1x")
    for digits, file_format in ((8, "a0x"), (16, "a2x")):
        text = tmp_path / file_format
        text.write_text(hexadecimal(path.read_bytes(), digits))
        found = read_recording(text, file_format)  # type: ignore[arg-type]
        assert np.array_equal(found.times_ps, binary.times_ps)
        assert (found.dummies, found.backward_steps) == (138, 8)


@given(cut=st.integers(1, 500), count=st.integers(0, 300))
@pytest.mark.parametrize("file_format", ["a0", "a1", "legacy", "ptu", "qutag", "idq"])
def test_a_file_read_in_pieces_holds_the_same_tags(
    tmp_path_factory: pytest.TempPathFactory, file_format: Format, cut: int, count: int
) -> None:
    random = np.random.default_rng(count)
    path = tmp_path_factory.mktemp("pieces") / "tags"
    words = random.integers(0, 2**32, count, np.uint32)
    times = np.cumsum(random.integers(0, 10**6, count)).tolist()
    path.write_bytes(
        {
            "a0": lambda: hexadecimal(a1_bytes(times), 8).encode(),
            "a1": lambda: a1_bytes(times),
            "legacy": lambda: words.tobytes() + words.tobytes(),
            "ptu": lambda: ptu_bytes(count, words.tobytes()),
            "qutag": lambda: qutag_bytes(times),
            "idq": lambda: struct.pack(f"<{count}Q", *times),
        }[file_format]()
    )
    whole = read_recording(path, file_format)
    file = open_recording(path, file_format)
    pieces = []
    with RecordingReader(file) as reader:
        while (piece := reader.read(cut)).words:
            pieces.append(piece)
    assert sum(piece.words for piece in pieces) == whole.words == file.records
    assert sum(piece.dummies for piece in pieces) == whole.dummies
    if pieces:
        assert np.array_equal(np.concatenate([p.times_ps for p in pieces]), whole.times_ps)
        assert np.array_equal(np.concatenate([p.channels for p in pieces]), whole.channels)


def qutag_bytes(times_ps: list[int], channel: int = 1) -> bytes:
    size = 40 + 10 * len(times_ps)
    header = struct.pack("<4sI32x", bytes.fromhex("87b391fa"), size)
    return header + b"".join(struct.pack("<QH", time, channel) for time in times_ps)


def test_a_format_is_told_by_the_first_bytes_where_they_tell_it(tmp_path: Path) -> None:
    path = tmp_path / "tags"
    path.write_bytes(qutag_bytes([1, 2, 3]))
    assert open_recording(path).format == "qutag"
    path.write_bytes(ptu_bytes(0, b""))
    file = open_recording(path)
    assert (file.format, file.serial_number, file.fault) == ("ptu", "1044556", "")
    path.write_bytes(a1_bytes([1, 2]))
    with pytest.raises(ValueError, match="name the format"):
        open_recording(path)


@pytest.mark.parametrize(
    ("file_format", "data", "told"),
    [
        ("a1", a1_bytes([1, 2]) + b"abc", "3 bytes follow"),
        ("a0", hexadecimal(a1_bytes([1, 2]), 8).encode()[:-9], "not whole"),
        ("qutag", qutag_bytes([1, 2])[:-10], "header says 60 bytes, it has 50"),
        ("ptu", ptu_bytes(9, bytes(8)), "header says 9 records, it has 2"),
    ],
)
def test_what_shows_that_a_file_was_cut_short_is_told(
    tmp_path: Path, file_format: Format, data: bytes, told: str
) -> None:
    path = tmp_path / "tags"
    path.write_bytes(data)
    assert told in open_recording(path, file_format).cut_short


@pytest.mark.parametrize(
    ("file_format", "data", "told"),
    [
        ("a1x", a1_bytes(range(10**9, 10**10, 10**9)), "swapped order"),
        ("a1", b"These are words, not tags at all", "plain order"),
        ("a0", b"12345678\n1234567\n8", "hexadecimal"),
        ("a0", b"time, channel\n1, 2\n", "8 hexadecimal digits"),
        ("a2", b"0123456789abcdeg\n", "16 hexadecimal digits"),
        ("qutag", b"quTAG", "magic"),
        ("qutag", bytes.fromhex("87b391fa00"), "no end"),
        ("qutag-raw", b"0123456789", "channel"),
        ("ptu", ptu_bytes(0, b"", record_type=0x00010304), "T2"),
    ],
)
def test_what_is_not_of_the_format_is_refused(
    tmp_path: Path, file_format: Format, data: bytes, told: str
) -> None:
    path = tmp_path / "tags"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=told):
        read_recording(path, file_format)

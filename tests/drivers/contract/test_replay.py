"""The replay tagger keeps the contract of a tagger, whatever is on the tape."""

import asyncio
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from agreement import agreement
from hypothesis import given
from hypothesis import strategies as st
from recorded import a1_bytes, ptu_bytes, recorded

from qkd_drivers import tape
from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Quality, Run, TimeTagger, Verdict
from qkd_drivers.errors import (
    DeviceBusy,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
)
from qkd_drivers.framing import TraceEntry
from qkd_drivers.models import replay
from qkd_drivers.recordings import Format, read_recording

S_PS = 10**12


async def tape_player(path: Path | str, **options: object) -> TimeTagger:
    told = {"speed": "max", **options}
    query = "&".join(f"{key}={value}" for key, value in told.items())
    device = await open_device("replay", f"file:{path}?{query}", "tape")
    # Loaded by now in any case, but not for the first time while its constants are patched.
    assert isinstance(device, replay.Replay)
    return device


async def collect(run: Run) -> tuple[np.ndarray, np.ndarray, Verdict]:
    chunks = [tags async for tags in run]
    assert run.verdict is not None
    times = [tags.times_ps for tags in chunks] or [np.empty(0, np.int64)]
    channels = [tags.channels for tags in chunks] or [np.empty(0, np.uint8)]
    return np.concatenate(times), np.concatenate(channels), run.verdict


async def play_all(tagger: TimeTagger, duration_s: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Runs until the tape is at its end; each with clean tags."""
    runs = []
    while True:
        try:
            run = await tagger.start_run(duration_s)
        except DeviceLost as error:
            assert "end=loop" in str(error)
            return runs
        times, channels, verdict = await collect(run)
        assert verdict.quality is Quality.CLEAN
        assert run.utc_ns > 0 and run.end_ps >= times.max(initial=0)
        runs.append((times, channels))


def saved(path: Path, times_ps: Sequence[int], pattern: int = 1) -> Path:
    path.write_bytes(a1_bytes(times_ps, pattern))
    return path


@pytest.mark.parametrize(
    ("name", "file_format", "tags"),
    [
        ("tdc2_qkd_calibration.a1.ts", "a1", None),
        ("tdc2_rollover.a1x.ts", "a1x", {1: 431, 4: 431}),
        ("hydraharp400_t2_hbt.ptu", "ptu", {1: 159_298, 2: 224_721}),
        ("qutag_80mhz_hbt.qutag", "qutag", None),
    ],
)
async def test_every_recording_of_real_hardware_is_played_whole(
    name: str, file_format: Format, tags: dict[int, int] | None
) -> None:
    path = recorded(name)
    whole = read_recording(path, file_format)
    tagger = await tape_player(path, format=file_format)
    runs = await play_all(tagger, 0.4)
    channels = np.concatenate([channels for _, channels in runs])
    assert np.array_equal(channels, whole.channels), "every tag once, in the order of the file"
    if tags is not None:
        assert dict(zip(*np.unique(channels, return_counts=True), strict=True)) == tags
    begin = 0
    for times, played in runs:
        part = whole.times_ps[begin : begin + len(played)]
        assert np.array_equal(np.diff(times), np.diff(part))
        begin += len(played)
    await tagger.close()


@agreement("replay")
@given(
    gaps_us=st.lists(st.integers(0, 300_000), min_size=1, max_size=200),
    duration_ms=st.integers(1, 2000),
    piece=st.integers(1, 50),
)
def test_runs_deliver_each_tag_once_and_none_beyond_their_end(
    tmp_path_factory: pytest.TempPathFactory,
    model: str,
    gaps_us: list[int],
    duration_ms: int,
    piece: int,
) -> None:
    times_ps = (np.cumsum(gaps_us) * 10**6).tolist()
    path = saved(tmp_path_factory.mktemp("tape") / "tags", times_ps)

    async def play() -> list[tuple[np.ndarray, np.ndarray]]:
        tagger = await tape_player(path, format="a1")
        runs = await play_all(tagger, duration_ms / 1000)
        await tagger.close()
        return runs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape, "PIECE_RECORDS", piece)
        runs = asyncio.run(play())
    assert sum(len(times) for times, _ in runs) == len(times_ps)
    for times, _ in runs:
        if len(times):
            assert times[0] == 0 and times[-1] < duration_ms * 10**9


async def test_a_folder_plays_its_files_in_order_and_each_in_its_own_time(tmp_path: Path) -> None:
    for number, name in enumerate(["b", "a", "c"], 1):
        saved(tmp_path / name, [S_PS * number, S_PS * number + 10**6], 1 << (number - 1))
    (tmp_path / ".hidden").write_text("of no concern")
    tagger = await tape_player(tmp_path, format="a1")
    played = []
    for _ in range(3):
        run = await tagger.start_run(5)
        times, channels, verdict = await collect(run)
        assert times.tolist() == [0, 10**6]
        played.append((int(channels[0]), verdict.cause))
    assert played == [(2, "end of a"), (1, "end of b"), (3, "end of c")]
    await tagger.close()


async def test_a_pattern_chooses_files_and_their_format_is_told_by_their_bytes(
    tmp_path: Path,
) -> None:
    (tmp_path / "run1.ptu").write_bytes(ptu_bytes(0, struct.pack("<I", 1)))
    (tmp_path / "notes.txt").write_text("of no concern")
    tagger = await tape_player(tmp_path / "*.ptu")
    assert tagger.identity.serial_number == "1044556"
    assert tagger.resolution_ps == 80
    times, _, _ = await collect(await tagger.start_run(1))
    assert len(times) == 1
    await tagger.close()


async def test_after_its_end_a_tape_stays_at_its_end_or_begins_anew_as_told(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path / "tags", [0, 10**6])
    tagger = await tape_player(path, format="a1")
    _, _, verdict = await collect(await tagger.start_run(1))
    assert verdict == Verdict(Quality.CLEAN, "end of tags")
    with pytest.raises(DeviceLost, match=r"tape: .*played to its end"):
        await tagger.start_run(1)
    await tagger.close()
    with pytest.raises(DeviceLost, match=r"tape: .*played to its end"):
        await tagger.connect()
    looping = await tape_player(path, format="a1", end="loop")
    for _ in range(4):
        times, _, verdict = await collect(await looping.start_run(1))
        assert times.tolist() == [0, 10**6] and verdict.quality is Quality.CLEAN
    await looping.close()


async def test_a_clock_that_began_anew_within_a_file_marks_the_run(tmp_path: Path) -> None:
    times = [*range(0, S_PS, S_PS // 10), *range(0, S_PS, S_PS // 5)]
    tagger = await tape_player(saved(tmp_path / "tags", times), format="a1")
    first, _, verdict = await collect(await tagger.start_run(60))
    assert len(first) == 10 and verdict.quality is Quality.OVERFLOW
    assert "step back by 0.9 s" in verdict.cause
    second, _, verdict = await collect(await tagger.start_run(60))
    assert second.tolist() == list(range(0, S_PS, S_PS // 5)) and verdict.quality is Quality.CLEAN
    await tagger.close()


async def test_a_file_whose_instrument_overran_marks_its_last_run(tmp_path: Path) -> None:
    path = tmp_path / "run.ptu"
    path.write_bytes(ptu_bytes(0, struct.pack("<II", 1, 2), stop_reason=-2))
    tagger = await tape_player(path)
    _, _, verdict = await collect(await tagger.start_run(1))
    assert verdict.quality is Quality.OVERFLOW and "FIFO overran" in verdict.cause
    await tagger.close()


@pytest.mark.parametrize(
    ("name", "data", "options", "told"),
    [
        ("cut", a1_bytes([1, 2])[:-1], {"format": "a1"}, "cut short"),
        ("cut.ptu", ptu_bytes(5, bytes(8)), {}, "says 5 records, it has 2"),
        ("words", b"these are words, not time tags..", {"format": "a1"}, "no S-Fifteen events"),
        ("unknown", b"these are words, not time tags..", {}, "name the format"),
        ("empty", b"", {"format": "a1"}, "no tags"),
        ("idq", b"these are words, not time tags.." * 99, {"format": "idq"}, "make no sense"),
    ],
)
async def test_an_unfit_file_is_refused_by_one_error_that_names_it(
    tmp_path: Path, name: str, data: bytes, options: dict[str, str], told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DeviceRefused, match=f"tape: .*{name}: .*{told}"):
        await tape_player(path, **options)
    saved(tmp_path / "a-good-one", [1, 2])
    with pytest.raises(DeviceRefused, match=name):
        await tape_player(tmp_path, **{"format": "a1"} | options)


async def test_nothing_at_the_path_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "*.ptu"):
        with pytest.raises(DeviceNotFound, match="tape: there is no file"):
            await tape_player(path)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tcp:host:1", "want file:"),
        ("file:", "want file:"),
        ("file:/tags?baud=9600", "want file:"),
        ("file:/tags?format=ttbin", "format is one of"),
        ("file:/tags?speed=0", "speed is a number above 0 or max"),
        ("file:/tags?speed=fast", "fast"),
        ("file:/tags?end=never", "end is stop or loop"),
        ("file:/tags?channel=0", "channel"),
    ],
)
def test_a_wrong_address_is_told_before_any_file_is_touched(address: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_device("replay", address, "tape")


async def test_tags_come_no_sooner_than_the_speed_allows(tmp_path: Path) -> None:
    path = saved(tmp_path / "tags", range(0, 2 * S_PS, S_PS // 100))
    tagger = await tape_player(path, format="a1", speed=10)
    run = await tagger.start_run(1)
    begin_s = time.monotonic()
    count = 0
    async for tags in run:
        passed_ps = 10 * (time.monotonic() - begin_s) * 1e12
        assert tags.times_ps[-1] <= passed_ps, "a tag of the future"
        count += len(tags.times_ps)
    assert count == 100 and run.end_ps == S_PS
    assert time.monotonic() - begin_s >= 0.099
    await tagger.close()


async def test_a_slow_consumer_loses_nothing_and_little_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "PIECE_RECORDS", 100)
    path = saved(tmp_path / "tags", range(0, S_PS, S_PS // 10_000))
    tagger = await tape_player(path, format="a1", speed=1000)
    most = total = 0
    async for tags in await tagger.start_run(60):
        await asyncio.sleep(0)
        most, total = max(most, len(tags.times_ps)), total + len(tags.times_ps)
    assert total == 10_000 and most <= 400, "a piece is 100 words of up to four tags"
    await tagger.close()


async def test_a_cancelled_consumer_stops_the_run_and_the_tape_goes_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "tags", range(0, 100 * S_PS, S_PS))
    tagger = await tape_player(path, format="a1", speed=1)
    runs = []
    seen = asyncio.Event()

    async def consume() -> None:
        async with await tagger.start_run(60) as run:
            runs.append(run)
            with pytest.raises(DeviceBusy, match="a run goes on"):
                await tagger.start_run(1)
            async for _ in run:
                seen.set()

    consumer = asyncio.create_task(consume())
    await seen.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert runs[0].verdict == Verdict(Quality.LOST, "stopped before its end")
    run = await tagger.start_run(0.01)
    assert [tags.times_ps.tolist() async for tags in run] == [[0]]
    await tagger.close()


async def test_a_file_that_shrinks_or_vanishes_while_it_plays_is_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "PIECE_RECORDS", 10)
    path = saved(tmp_path / "tags", range(0, S_PS, S_PS // 1000))
    tagger = await tape_player(path, format="a1")
    run = await tagger.start_run(60)
    async for _ in run:
        path.write_bytes(a1_bytes([1]))
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tape: stream: the file has become shorter" in run.verdict.cause
    path.unlink()
    await tagger.close()
    with pytest.raises(DeviceNotFound, match="tags"):
        await tagger.connect()
    with pytest.raises(DeviceLost, match="not open"):
        await tagger.start_run(1)


async def test_after_a_loss_the_file_that_was_playing_begins_again(tmp_path: Path) -> None:
    saved(tmp_path / "a", [0, 1])
    saved(tmp_path / "b", [0, S_PS, 2 * S_PS], 2)
    tagger = await tape_player(tmp_path, format="a1")
    await collect(await tagger.start_run(60))
    await collect(await tagger.start_run(0.5))
    assert (await tagger.readings())["file_number"].value == 2
    await tagger.close()
    await tagger.connect()
    times, channels, _ = await collect(await tagger.start_run(60))
    assert len(times) == 3 and set(channels) == {2}
    await tagger.close()


async def test_counts_are_those_of_the_next_stretch(tmp_path: Path) -> None:
    path = saved(tmp_path / "tags", range(0, S_PS, S_PS // 100), 0b0110)
    tagger = await tape_player(path, format="a1")
    assert (await tagger.counts(0.1))[:4] == (0, 10, 10, 0)
    readings = await tagger.readings()
    assert readings["played_s"].value == pytest.approx(0.1)
    assert all(reading.unit for reading in readings.values())
    await tagger.close()


async def test_what_was_recorded_cannot_be_configured(tmp_path: Path) -> None:
    tagger = await tape_player(saved(tmp_path / "tags", [1]), format="a1")
    await tagger.configure()
    with pytest.raises(DeviceRefused, match="leave level"):
        await tagger.configure(level="TTL")
    await tagger.close()


async def test_what_is_played_and_how_it_ended_is_traced(tmp_path: Path) -> None:
    path = saved(tmp_path / "tags", [1])
    trace: list[TraceEntry] = []
    tagger = await open_device("replay", f"file:{path}?format=a1", "tape", trace.append)
    assert isinstance(tagger, TimeTagger)
    await collect(await tagger.start_run(1))
    assert [(e.direction, e.data.decode()) for e in trace] == [
        (">", f"play 1 s of {path}"),
        ("<", "clean end of tags"),
    ]
    await tagger.close()

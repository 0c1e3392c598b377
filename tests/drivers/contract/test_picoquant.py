"""The PicoQuant taggers keep the contract, through a real shared library that is not the vendor's.

It is compiled here and speaks the vendor's ABI, so the code that loads and calls it is that of a
lab.
"""

import asyncio
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest
from agreement import agreement
from hypothesis import given
from hypothesis import strategies as st

from qkd_drivers.catalogue import make_device, open_device
from qkd_drivers.contract import Quality, Run, TimeTagger
from qkd_drivers.errors import (
    DeviceBusy,
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import TraceEntry
from qkd_drivers.models import picoquant

SOURCE = Path(__file__).parents[1] / "fakes" / "picoquant.c"
KNOBS = """
extern struct {
  int unplugged, held_elsewhere, flags, burst, hold, is_open[3], measuring, stops;
  int initialised, reference, calibrated, level_mv[5], how[5], kind;
} fake;
"""
FAMILIES = {
    1: ("picoquant-multiharp", "MultiHarp 150 4N", 80),
    2: ("picoquant-hydraharp", "HydraHarp 400", 1),
    3: ("picoquant-timeharp", "TimeHarp 260 N", 250),
    4: ("picoquant-timeharp", "TimeHarp 260 P", 25),
}
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda n: FAMILIES[n][1])
EVENT_PS = 10_000_000


class Fake:
    """A compiled library and its knobs."""

    def __init__(self, family: int, path: Path) -> None:
        self.model, self.told, self.resolution_ps = FAMILIES[family]
        self.path = path
        ffi = cffi.FFI()
        ffi.cdef(KNOBS)
        self._ffi, self._library = ffi, ffi.dlopen(str(path))  # the same one that the driver loads
        self.knobs = self._library.fake

    async def tagger(self, options: str = "", trace: Any = None) -> TimeTagger:
        device = await open_device(self.model, f"library:{self.path}{options}", "tagger", trace)
        assert isinstance(device, TimeTagger)
        return device


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "the C extension was built with one"
    folder = tmp_path_factory.mktemp("picoquant")
    paths = {}
    for family in FAMILIES:
        paths[family] = folder / f"libfake{family}.so"
        flags = ["-shared", "-fPIC", "-Wall", "-Wextra", f"-DFAMILY={family}"]
        subprocess.run([compiler, *flags, SOURCE, "-o", paths[family]], check=True)
    return paths


@pytest.fixture
def fakes(libraries: dict[int, Path], tmp_path: Path) -> dict[int, Fake]:
    """Fresh for each test: a copy is another library to the loader."""
    return {
        family: Fake(family, Path(shutil.copy(path, tmp_path)))
        for family, path in libraries.items()
    }


async def collect(run: Run) -> tuple[np.ndarray, np.ndarray]:
    chunks = [tags async for tags in run]
    return (
        np.concatenate([tags.times_ps for tags in chunks]),
        np.concatenate([tags.channels for tags in chunks]),
    )


@every_family
async def test_a_run_starts_streams_every_event_and_stops(
    fakes: dict[int, Fake], family: int
) -> None:
    fake = fakes[family]
    tagger = await fake.tagger()
    assert (tagger.identity.model, tagger.identity.serial_number) == (fake.told, "1000001")
    assert tagger.resolution_ps == fake.resolution_ps
    for _ in range(2):
        run = await tagger.start_run(1.0)
        times, channels = await collect(run)
        assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
        assert run.end_ps == 10**12 and run.utc_ns > 0
        assert times.tolist() == list(range(0, 10**12, EVENT_PS))
        assert set(np.diff(channels.astype(int))) == {1, -3}
        assert not fake.knobs.measuring
    assert fake.knobs.initialised == 1
    assert fake.knobs.calibrated == (fake.model == "picoquant-hydraharp")
    await tagger.close()
    assert list(fake.knobs.is_open) == [0, 0, 0]


@every_family
async def test_a_device_is_chosen_by_its_serial_number(fakes: dict[int, Fake], family: int) -> None:
    fake = fakes[family]
    tagger = await fake.tagger("?serial=1000003")
    assert tagger.identity.serial_number == "1000003"
    assert list(fake.knobs.is_open) == [0, 0, 1], "the others are free for other programs"
    await tagger.close()
    with pytest.raises(
        DeviceNotFound, match=r"tagger: .*4711; there are 1000001, 1000002, 1000003"
    ):
        await fake.tagger("?serial=4711")


@every_family
@pytest.mark.parametrize("flag", [0x0002])
async def test_an_overrun_of_the_fifo_marks_the_run(
    fakes: dict[int, Fake], family: int, flag: int
) -> None:
    fake = fakes[family]
    fake.knobs.burst = 100
    tagger = await fake.tagger()
    run = await tagger.start_run(1.0)
    async for _ in run:
        fake.knobs.flags = flag
    assert run.verdict is not None and run.verdict.quality is Quality.OVERFLOW
    assert "dropped tags (flags 0x0002)" in run.verdict.cause
    assert not fake.knobs.measuring, "the next run starts anew"
    fake.knobs.flags = 0
    run = await tagger.start_run(0.01)
    await collect(run)
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    await tagger.close()


@pytest.mark.parametrize(
    ("family", "flag", "quality"),
    [
        (1, 0x0040, Quality.OVERFLOW),
        (3, 0x0008, Quality.OVERFLOW),
        (1, 0x0008, Quality.LOST),
        (2, 0x0010, Quality.LOST),
        (4, 0x0020, Quality.LOST),
        (2, 0x0004, Quality.CLEAN),
    ],
)
async def test_each_flag_means_what_it_means_to_its_family(
    fakes: dict[int, Fake], family: int, flag: int, quality: Quality
) -> None:
    fake = fakes[family]
    tagger = await fake.tagger()
    fake.knobs.flags = flag
    run = await tagger.start_run(0.1)
    await collect(run)
    assert run.verdict is not None and run.verdict.quality is quality
    await tagger.close()


@every_family
async def test_unplugging_ends_the_run_with_number_and_text_and_the_device_comes_back(
    fakes: dict[int, Fake], family: int
) -> None:
    fake = fakes[family]
    fake.knobs.burst = 100
    tagger = await fake.tagger()
    run = await tagger.start_run(1.0)
    async for _ in run:
        fake.knobs.unplugged = 1
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tagger: stream: " in run.verdict.cause
    assert "error -72 (USB_IO_FAIL)" in run.verdict.cause
    with pytest.raises(DeviceError, match="-72"):
        await tagger.readings()
    await tagger.close()
    with pytest.raises(DeviceNotFound, match=r"tagger: connect: there is no .*plugged in"):
        await tagger.connect()
    fake.knobs.unplugged = 0
    fake.knobs.burst = 0
    await tagger.connect()
    assert sum(await tagger.counts(0.1)) == 10_000
    await tagger.close()


@every_family
async def test_a_device_in_other_hands_is_busy(fakes: dict[int, Fake], family: int) -> None:
    fakes[family].knobs.held_elsewhere = 1
    with pytest.raises(DeviceBusy, match=r"tagger: .*error -2 \(DEVICE_BUSY\)"):
        await fakes[family].tagger()


@pytest.mark.parametrize(
    ("family", "level", "held"),
    [
        (1, "NIM", (1, -400, 0)),
        (1, "TTL", (1, 1000, 1)),
        (1, "0.25", (1, 250, 1)),
        (2, "-0.1", (2, 100, 10)),
        (3, "-0.1", (1, -100, 0)),
        (4, "-0.1", (2, -100, -10)),
    ],
)
async def test_each_run_sets_the_level_of_every_input(
    fakes: dict[int, Fake], family: int, level: str, held: tuple[int, int, int]
) -> None:
    knobs = fakes[family].knobs
    tagger = await fakes[family].tagger()
    await tagger.configure(level=level)
    await collect(await tagger.start_run(0.01))
    kind, level_mv, how = held
    assert knobs.kind == kind
    assert set(knobs.level_mv) == {level_mv} and set(knobs.how) == {how}
    await tagger.close()


async def test_what_a_family_cannot_do_is_refused(fakes: dict[int, Fake]) -> None:
    for family in (2, 4):
        tagger = await fakes[family].tagger()
        with pytest.raises(DeviceRefused, match="negative pulses only, not TTL"):
            await tagger.configure(level="TTL")
        await tagger.close()
    timeharp = await fakes[3].tagger()
    with pytest.raises(DeviceRefused, match="no input for a clock"):
        await timeharp.configure(reference_clock="external")
    for level in ("ECL", "1.3"):
        with pytest.raises(ValueError, match="want NIM"):
            await timeharp.configure(level=level)
    await timeharp.close()


async def test_another_clock_takes_effect_with_the_next_run(fakes: dict[int, Fake]) -> None:
    knobs = fakes[1].knobs
    tagger = await fakes[1].tagger()
    await tagger.configure(reference_clock="external")
    assert knobs.reference == 0
    await collect(await tagger.start_run(0.01))
    assert (knobs.reference, knobs.initialised) == (1, 2)
    assert set(knobs.level_mv) == {-400}, "set again, as initialising takes them back"
    await tagger.close()


async def test_leaving_a_run_stops_the_measurement(fakes: dict[int, Fake]) -> None:
    fake = fakes[1]
    fake.knobs.burst = 10
    tagger = await fake.tagger()
    seen = asyncio.Event()

    async def consume() -> None:
        async with await tagger.start_run(1000) as run:
            with pytest.raises(DeviceBusy, match="a run goes on"):
                await tagger.start_run(1)
            async for _ in run:
                seen.set()
                fake.knobs.hold = 1

    consumer = asyncio.create_task(consume())
    await seen.wait()
    assert fake.knobs.measuring
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert not fake.knobs.measuring
    fake.knobs.hold = fake.knobs.burst = 0
    assert await tagger.counts(0.1) == (2500,) * 4
    await tagger.close()


async def test_closing_during_a_run_ends_it(fakes: dict[int, Fake]) -> None:
    fake = fakes[2]
    fake.knobs.burst = 10
    tagger = await fake.tagger()
    run = await tagger.start_run(1000)
    async for _ in run:
        await tagger.close()
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert not fake.knobs.measuring
    with pytest.raises(DeviceLost, match="not open"):
        await tagger.start_run(1)


async def test_a_library_that_hangs_is_given_up(
    fakes: dict[int, Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger: Any = await fakes[1].tagger()
    monkeypatch.setattr(picoquant, "PATIENCE_S", 0.05)
    released = threading.Event()
    with pytest.raises(DeviceTimeout, match="tagger: hang: the library did not return"):
        await tagger.ask("hang", lambda library, device: released.wait(10))
    released.set()
    monkeypatch.setattr(picoquant, "PATIENCE_S", 30.0)
    assert await tagger.readings()
    await tagger.close()


@agreement("picoquant-multiharp", "picoquant-hydraharp", "picoquant-timeharp")
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(
                st.just("configure"),
                st.tuples(
                    st.sampled_from(["NIM", "TTL", "-0.25", "0.5"]),
                    st.sampled_from(["auto", "internal", "external"]),
                ),
            ),
            st.tuples(st.sampled_from(["run", "overrun"]), st.integers(1, 50)),
            st.tuples(st.sampled_from(["unplug", "reconnect"]), st.none()),
        ),
        max_size=8,
    ),
    data=st.data(),
)
def test_the_view_of_a_tagger_is_what_the_library_holds(
    libraries: dict[int, Path],
    tmp_path_factory: pytest.TempPathFactory,
    model: str,
    steps: list[tuple[str, Any]],
    data: st.DataObject,
) -> None:
    """After each run inputs and clock are as they were last told, and no measurement goes on."""
    family = data.draw(st.sampled_from([n for n, each in FAMILIES.items() if each[0] == model]))
    copy = shutil.copy(libraries[family], tmp_path_factory.mktemp("fake"))

    async def play() -> None:
        fake = Fake(family, Path(copy))
        knobs = fake.knobs
        tagger = await fake.tagger()
        level_mv, clock = -400, 0
        for what, value in steps:
            match what:
                case "configure":
                    try:
                        await tagger.configure(level=value[0], reference_clock=value[1])
                    except DeviceRefused:
                        assert value[0] in ("TTL", "0.5") or value[1] == "external"
                        continue
                    told = {"NIM": -400, "TTL": 1000}.get(value[0])
                    level_mv = round(1000 * float(value[0])) if told is None else told
                    clock = int(value[1] == "external")
                case "run" | "overrun":
                    knobs.flags = 2 * (what == "overrun")
                    run = await tagger.start_run(value / 1000)
                    times, _ = await collect(run)
                    spoilt = run.verdict is not None and run.verdict.quality is Quality.OVERFLOW
                    assert spoilt == (what == "overrun")
                    assert spoilt or len(times) == value * 10**9 // EVENT_PS
                    assert {abs(each) for each in knobs.level_mv} == {abs(level_mv)}
                    assert knobs.reference == clock and not knobs.measuring
                case "unplug":
                    knobs.unplugged = 1
                    with pytest.raises(DeviceError):
                        await tagger.readings()
                    knobs.unplugged = 0
                    await tagger.connect()
                case "reconnect":
                    await tagger.close()
                    await tagger.connect()
            assert list(knobs.is_open) == [1, 0, 0]
            assert {each.value for each in (await tagger.readings()).values()} == {25_000}
        await tagger.close()
        assert list(knobs.is_open) == [0, 0, 0]

    asyncio.run(play())


async def test_readings_are_the_rates_of_every_input(fakes: dict[int, Fake]) -> None:
    tagger = await fakes[3].tagger()
    readings = await tagger.readings()
    assert set(readings) == {"rate_sync_cps", *(f"rate_{n}_cps" for n in range(1, 5))}
    assert {(each.value, each.unit) for each in readings.values()} == {(25_000, "1/s")}
    await tagger.close()


async def test_a_file_that_is_not_the_library_is_told(
    fakes: dict[int, Fake], tmp_path: Path
) -> None:
    with pytest.raises(DeviceNotFound, match=r"tagger: connect: the library .*/none.so cannot"):
        await open_device("picoquant-multiharp", f"library:{tmp_path}/none.so", "tagger")
    with pytest.raises(DeviceRefused, match="not that of a HydraHarp"):
        await open_device("picoquant-hydraharp", f"library:{fakes[1].path}", "tagger")


async def test_calls_are_traced(fakes: dict[int, Fake]) -> None:
    trace: list[TraceEntry] = []
    tagger = await fakes[1].tagger(trace=trace.append)
    await collect(await tagger.start_run(0.5))
    fakes[1].knobs.unplugged = 1
    with pytest.raises(DeviceError):
        await tagger.readings()
    told = [(entry.direction, entry.data.decode()) for entry in trace]
    assert (">", "StartMeas 500") in told and (">", "StopMeas") in told
    assert told[-1] == ("!", "MH_GetSyncRate: error -72 (USB_IO_FAIL)")
    await tagger.close()


@pytest.mark.parametrize(
    "address",
    [
        "tcp:host:1",
        "library:",
        "library:/x.so?index=1",
        "library:/x.so?records=v1",
        "library:/x.so?zero_cross_mv=much",
    ],
)
def test_a_wrong_address_is_told_before_anything_is_loaded(address: str) -> None:
    with pytest.raises(ValueError, match="device address"):
        make_device("picoquant-multiharp", address, "tagger")

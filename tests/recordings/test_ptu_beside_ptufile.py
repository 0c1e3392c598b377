"""Our PTU decoder and the independent package `ptufile` agree, record by record."""

from pathlib import Path

import numpy as np
import ptufile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import ptu_bytes, recorded

from qkd_drivers.ptu import read_ptu_header
from qkd_drivers.recordings import read_recording

PICOHARP = 0x00010203
RECORD_TYPES = {
    PICOHARP: "PicoHarp 300",
    0x00010204: "HydraHarp, first version",
    0x01010204: "HydraHarp",
    0x00010205: "TimeHarp 260 NANO",
    0x00010206: "TimeHarp 260 PICO",
    0x00010207: "MultiHarp, PicoHarp 330",
}
every_type = pytest.mark.parametrize("record_type", RECORD_TYPES, ids=RECORD_TYPES.values())

MOST_PERIODS = 127
"""In one overflow record. From 128 on, ptufile 2026.2.6 multiplies beyond 32 bits and wraps."""

short = st.integers(0, 2**25 - 1)
later_words = st.one_of(
    st.builds(lambda channel, time: channel << 25 | time, st.integers(0, 63), short),
    st.builds(lambda time: 1 << 31 | time, short),  # SYNC
    st.builds(lambda bits, time: 1 << 31 | bits << 25 | time, st.integers(1, 15), short),
    st.builds(lambda count: 1 << 31 | 63 << 25 | count, st.integers(0, MOST_PERIODS)),
)
long = st.integers(0, 210_698_239)
picoharp_words = st.one_of(
    st.builds(lambda channel, time: channel << 28 | time, st.integers(0, 4), long),
    st.builds(lambda bits, time: 15 << 28 | time >> 4 << 4 | bits, st.integers(1, 15), long),
    st.just(15 << 28),
)


def compare(path: Path, record_type: int) -> int:
    """The number of overflow records, once all others were found equal."""
    with ptufile.PtuFile(path) as file:
        records = file.decode_records()
    overflow = (records["channel"] < 0) & (records["marker"] == 0)
    theirs = records[~overflow]
    ours = read_recording(path)
    marker = ours.channels >= 128
    assert np.array_equal(np.where(marker, ours.channels - 128, 0), theirs["marker"])
    assert np.array_equal(marker, theirs["channel"] < 0)
    times = theirs["time"].astype(np.int64)
    channels = ours.channels.astype(np.int64)
    if record_type == PICOHARP:
        # The low four bits of a marker's time are the marker: the format says to clear them.
        times -= theirs["marker"]
    else:
        # We count inputs from 1, as the front panel does, and SYNC is 0; ptufile has both at 0.
        channels -= channels > 0
    assert np.array_equal(ours.times_ps, times)
    assert np.array_equal(channels[~marker], theirs["channel"][~marker])
    assert ours.words == len(records) and ours.dummies == np.count_nonzero(overflow)
    return ours.dummies


@every_type
@given(data=st.data())
def test_every_record_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, record_type: int, data: st.DataObject
) -> None:
    drawn = picoharp_words if record_type == PICOHARP else later_words
    words = np.array(data.draw(st.lists(drawn, min_size=1, max_size=100)), "<u4")
    path = tmp_path_factory.mktemp("ptu") / "run.ptu"
    path.write_bytes(
        ptu_bytes(len(words), words.tobytes(), record_type=record_type, resolution_s=1e-12)
    )
    compare(path, record_type)


@every_type
def test_a_long_run_with_many_overflows_is_read_alike(tmp_path: Path, record_type: int) -> None:
    random = np.random.default_rng(record_type)
    count = 200_000
    if record_type == PICOHARP:
        words = random.integers(0, 5, count) << 28 | random.integers(0, 210_698_240, count)
        special = np.full(count, 15 << 28)
    else:
        words = random.integers(0, 64, count) << 25 | random.integers(0, 2**25, count)
        special = 1 << 31 | 63 << 25 | random.integers(0, MOST_PERIODS + 1, count)
    words = np.where(random.random(count) < 0.1, special, words).astype("<u4")
    path = tmp_path / "run.ptu"
    path.write_bytes(ptu_bytes(count, words.tobytes(), record_type=record_type, resolution_s=1e-12))
    assert compare(path, record_type) > count // 20


@pytest.mark.parametrize("periods", [127, 128, 1000, 2**25 - 1])
def test_an_overflow_record_counts_as_many_periods_as_it_says(tmp_path: Path, periods: int) -> None:
    words = np.array([1 << 31 | 63 << 25 | periods, 1 << 25 | 5], "<u4")
    path = tmp_path / "run.ptu"
    path.write_bytes(ptu_bytes(2, words.tobytes(), record_type=0x01010204, resolution_s=1e-12))
    assert read_recording(path).times_ps.tolist() == [periods * 2**25 + 5]
    with ptufile.PtuFile(path) as file:
        theirs = int(file.decode_records()["time"][-1])
    assert theirs == periods * 2**25 % 2**32 + 5, "as of 2026.2.6; else lift MOST_PERIODS"


def test_a_recording_of_a_hydraharp_is_read_alike() -> None:
    assert compare(recorded("hydraharp400_t2_hbt.ptu"), 0x01010204) == 25_463


@pytest.mark.parametrize("reason", [0, 1, -2, -9])
def test_the_reason_of_the_end_is_read_alike(tmp_path: Path, reason: int) -> None:
    data = ptu_bytes(0, b"", stop_reason=reason)
    path = tmp_path / "run.ptu"
    path.write_bytes(data)
    with ptufile.PtuFile(path) as file:
        failed = file.stop_reason.name.endswith("OVERRUN")
    assert bool(read_ptu_header(data).fault) == failed

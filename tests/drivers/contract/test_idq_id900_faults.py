"""Tags of the time controller around each fault of its wires: marked, or known to be unmarked."""

import asyncio
from typing import Any

import numpy as np
import pytest
from bench import Bench
from id900s import RECORD_PS, collect, tagger_on

from qkd_drivers.contract import Quality
from qkd_drivers.framing import Wire
from qkd_drivers.models import idq_id900_run
from qkd_firmware_sim.cores.id900 import Id900
from qkd_firmware_sim.frontends.faults import FAULTS as WIRE_FAULTS

PERIOD_PS = 20_000_000
"""Of the pulses, on all four channels together."""

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    # What befalls box, service and streams, and what the run says: whole or lost.
    "refuse": ({}, "whole"),
    "slam": ({}, "lost"),
    "cut": ({}, "lost"),
    "hang_up": ({"size": 3}, "lost"),
    "half_open": ({}, "lost"),
    "idle": ({"delay_s": 0.05}, "lost"),
    "silence": ({}, "lost"),
    "drop": ({}, "lost"),
    "delay": ({"delay_s": 0.05}, "whole"),
    "glue": ({"delay_s": 0.05}, "whole"),
    "split": ({"size": 999, "delay_s": 0.0005}, "whole"),
    "truncate": ({"size": 16}, "lost"),
    "slip": ({"size": 8}, "lost"),
    "garble": ({"size": 4}, "lost"),
    "noise": ({"size": 8}, "lost"),
    "duplicate": ({}, "lost"),
    "unsolicited": ({"text": "HELLO!"}, "lost"),
    "complain": ({"text": "Error"}, "lost"),
}


def test_every_fault_that_these_wires_can_show_is_tried_on_a_stream() -> None:
    """Whole tags too, which only the service's counts can tell of."""
    assert FAULTS.keys() == {n for n, f in WIRE_FAULTS.items() if "zmtp" in f.fronts} - {"restore"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_tags_around_a_fault_are_marked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A run that reads clean holds every pulse at its time, and the next one is clean again."""
    options, wanted = FAULTS[fault]
    tagger, core, wire = await tagger_on(bench, 1e12 / PERIOD_PS)
    monkeypatch.setattr(idq_id900_run, "_SILENCE_S", 0.5)
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.5)
    run = await tagger.start_run(1.0)
    chunks = []
    async for tags in run:
        if not chunks:
            await wire.apply(fault, **options)
            assert core.streaming
        chunks.append(tags)
    assert run.verdict is not None
    times = np.concatenate([tags.times_ps for tags in chunks])
    channels = np.concatenate([tags.channels for tags in chunks]).astype(int)
    if wanted == "lost":
        assert run.verdict.quality is Quality.LOST and run.verdict.cause
    else:
        assert run.verdict.quality is Quality.CLEAN
        assert np.all(np.diff(times) == PERIOD_PS) and set(np.diff(channels)) == {1, -3}
    await wire.apply("restore")
    await wire.settle()
    await tagger.close()
    await tagger.connect()
    await tagger.configure()
    again = await tagger.start_run(0.2)
    assert len([tags async for tags in again])
    assert again.verdict is not None and again.verdict.quality is Quality.CLEAN
    assert not core.link.acquisitions
    await tagger.close()


@pytest.mark.parametrize(
    ("fault", "size", "cause"),
    [
        ("slip", 2, "no whole tags"),
        ("slip", 8, "timestamps_count"),
        ("garble", 40, "lies"),
        ("truncate", 16, "timestamps_count"),
    ],
)
async def test_damage_to_the_stream_marks_the_run(
    bench: Bench, fault: str, size: int, cause: str
) -> None:
    """Torn, missing and impossible tags: told with their cause; the next run is clean."""
    tagger, _, wire = await tagger_on(bench)
    run = await tagger.start_run(0.4)
    await wire.apply(fault, size=size)
    async for _ in run:
        pass
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tagger" in run.verdict.cause or "missing" in run.verdict.cause
    assert cause in run.verdict.cause
    again = await tagger.start_run(0.2)
    await collect(again)
    assert again.verdict is not None and again.verdict.quality is Quality.CLEAN
    await tagger.close()


async def test_a_frame_that_never_comes_marks_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that falls silent is lost in bounded time."""
    monkeypatch.setattr("qkd_drivers.models.idq_id900_run._SILENCE_S", 0.3)
    monkeypatch.setattr(Wire, "reply_timeout_s", 0.3)
    tagger, _, wire = await tagger_on(bench)
    run = await tagger.start_run(5)
    await wire.apply("silence")
    async with asyncio.timeout(10):
        async for _ in run:
            pass
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "nothing came" in run.verdict.cause
    await wire.apply("restore")
    assert (await tagger.readings()).keys() == {f"threshold_{n}_v" for n in (1, 2, 3, 4)}
    await tagger.close()


async def test_a_cut_wire_ends_the_run_as_lost(bench: Bench) -> None:
    """At once, and not after the silence of a frame that is due."""
    tagger, _, wire = await tagger_on(bench)
    run = await tagger.start_run(60)
    async for _ in run:
        await wire.apply("cut")
    assert run.verdict is not None and run.verdict.quality is Quality.LOST
    assert "tagger" in run.verdict.cause and "closed the connection" in run.verdict.cause
    await tagger.close()


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_few_garbled_bytes_move_one_tag_and_no_other(bench: Bench, size: int) -> None:
    """By no more than their weight, 5.6 µs: nothing tells, and nothing is lost or added."""
    tagger, _, wire = await tagger_on(bench, 1e12 / PERIOD_PS)
    run = await tagger.start_run(0.2)
    await wire.apply("garble", size=size)
    times = np.concatenate([tags.times_ps async for tags in run])
    assert run.verdict is not None and run.verdict.quality is Quality.CLEAN
    phases = (times - times[-1]) % PERIOD_PS
    (moved,) = phases[phases != 0]
    assert min(moved, PERIOD_PS - moved) <= int.from_bytes(b"\x55" * size, "little")
    assert abs(len(times) - RECORD_PS // PERIOD_PS) <= 1
    await tagger.close()


class Garbling(Id900):
    """Its service spoils one word of channel 1 on the way."""

    def __init__(self, times_ps: list[int], index: int, mask: int) -> None:
        super().__init__("T900-1")
        words = np.array(times_ps, "<u8")
        words[index] ^= np.uint64(mask)
        self.sent = words.astype(np.int64)
        deliver = self.link.deliver
        self.link.deliver = lambda channel, frame: deliver(  # type: ignore[method-assign]
            channel, words.tobytes() if channel == 1 else b""
        )


def can_be_told(times_ps: list[int], index: int, mask: int, disorder_ps: int) -> bool:
    """Whether a word lies where no sound frame has one: beyond the end, or too far out of order."""
    before = times_ps[index - 1] if index else 0
    spoilt = times_ps[index] ^ mask
    after = times_ps[index + 1] if index + 1 < len(times_ps) else RECORD_PS
    beyond = spoilt >= RECORD_PS + idq_id900_run.DEAD_PS
    return beyond or spoilt - after > disorder_ps or before - spoilt > disorder_ps


MIDDLE = [1_000_000_000 * n + 123_456_789 for n in range(5, 10)]
"""A tag a millisecond."""
MASKS: list[int] = [mask << 8 * byte for byte in range(8) for mask in (0x01, 0x55, 0x80)]


@pytest.mark.parametrize("disorder_ps", [0, idq_id900_run.REORDER_PS])
@pytest.mark.parametrize("mask", MASKS, ids=hex)
def test_what_can_be_told_of_a_garbled_word(mask: int, disorder_ps: int) -> None:
    """By its place alone: what stays within the disorder that is allowed for is any tag."""
    told = can_be_told(MIDDLE, 2, mask, disorder_ps)
    moved_ps = abs((MIDDLE[2] ^ mask) - MIDDLE[2])
    assert told == (moved_ps > 1_000_000_000 + disorder_ps), "a gap and the disorder"


@pytest.mark.parametrize(
    ("index", "mask", "options", "told"),
    [
        (2, 0x55, "", ""),  # 85 ps
        (2, 0x5555, "", ""),  # 22 ns
        (2, 0x555555, "", ""),  # 5.6 µs
        (2, 0x555555, "&disorder_ps=0", ""),  # neighbours are 1 ms away
        (2, 1 << 31, "", "before an earlier one"),  # 2.1 ms
        (2, 1 << 30, "", ""),  # 1.07 ms: less than the gap and the disorder
        (2, 1 << 30, "&disorder_ps=0", "before an earlier one"),
        (4, 1 << 34, "", ""),  # 17 ms, and nothing follows
        (4, 1 << 38, "", "none may from"),  # 275 ms
        (0, 1 << 63, "", "none may from"),
    ],
)
async def test_a_garbled_word_marks_the_run_where_it_can_be_told(
    bench: Bench, index: int, mask: int, options: str, told: str
) -> None:
    """Else one tag lies elsewhere in its frame, and all others where they were."""
    core = Garbling(MIDDLE, index, mask)
    tagger, _, _ = await tagger_on(bench, 0, core, options)
    run = await tagger.start_run(0.2)
    times = [time for tags in [tags async for tags in run] for time in tags.times_ps.tolist()]
    assert run.verdict is not None
    disorder_ps = 0 if options else idq_id900_run.REORDER_PS
    assert bool(told) == can_be_told(MIDDLE, index, mask, disorder_ps)
    assert run.verdict.quality is (Quality.LOST if told else Quality.CLEAN)
    assert told in run.verdict.cause
    if not told:
        assert times == core.sent.tolist()
    await tagger.close()

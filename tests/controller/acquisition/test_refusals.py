"""What a peer that misbehaves is told: nothing that could become key, and the session ends."""

import msgspec
import numpy as np
import pytest

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import (
    EVENTS_A_MESSAGE,
    DropSlices,
    EpochBegun,
    ModeChange,
    RunEnded,
    SliceMatched,
    SlicesLost,
    TestDisclosure,
    TestResult,
    TimesAnnounced,
    TimesReleased,
)
from qkd_controller.link.errors import BlockDiscarded, ProtocolError
from qkd_native import deltas

TIMING = Timing(test_slice_every=10)


def matched(index, indices, mode="key", epoch=1, peer_epoch=5):
    array = np.array(indices, np.int64)
    return SliceMatched(
        epoch, index, peer_epoch, mode, len(array), deltas.encode(array), 9, 9, 0.0, 1.0, 0, 0.0
    )


@pytest.fixture
def announcing():
    end = AnnouncingEnd(TIMING)
    end.begin_session()
    end.begin_epoch(5, 10**18)
    times = np.arange(1, 101, dtype=np.int64) * 10**9
    end.add(5, times, (times // 10**9 % 4).astype(np.uint8))
    end.receive(ModeChange("key", 1, 0))
    end.receive(EpochBegun(1, 10**18, 0, 0))
    return end


@pytest.fixture
def reference():
    end = ReferenceEnd(TIMING)
    end.begin_session()
    end.receive(EpochBegun(5, 10**18, 0, 0))
    return end


def test_a_key_slice_is_never_disclosed(announcing):
    with pytest.raises(ProtocolError, match="not announced for test"):
        announcing.receive(matched(3, [0, 1], "test"))
    with pytest.raises(ProtocolError, match="not announced for key"):
        announcing.receive(matched(10, [0, 1], "key"))


def test_a_slice_cannot_become_a_test_after_it_was_matched(announcing):
    assert announcing.receive(matched(3, [0, 1])) == []
    announcing.receive(ModeChange("test", 1, 4))
    with pytest.raises(ProtocolError, match="decided already"):
        announcing.receive(ModeChange("test", 1, 3))
    with pytest.raises(ProtocolError, match="not announced for test"):
        announcing.receive(matched(3, [2, 3], "test"))
    with pytest.raises(ProtocolError, match="second time"):
        announcing.receive(matched(4, [1, 2], "test"))


def test_matched_events_are_never_matched_again_in_a_later_session(announcing):
    announcing.receive(matched(3, [0, 5]))
    announcing.reset_peer()
    again = announcing.begin_session()
    times = [m for m in again if isinstance(m, TimesAnnounced)]
    assert times[0].first_index == 6
    announcing.receive(EpochBegun(1, 10**18, 0, 0))
    announcing.receive(ModeChange("test", 1, 2))
    with pytest.raises(ProtocolError, match="second time"):
        announcing.receive(matched(3, [6, 7], "test"))
    with pytest.raises(ProtocolError, match="second time"):
        announcing.receive(matched(4, [5, 6], "test"))


def test_a_test_slice_is_disclosed_whole_and_once(announcing):
    (answer,) = announcing.receive(matched(10, [0, 1, 6], "test"))
    assert answer == TestDisclosure(1, 10, bytes([1, 2, 3]))
    with pytest.raises(ProtocolError, match="second time"):
        announcing.receive(matched(10, [7], "test"))
    with pytest.raises(ProtocolError, match="not disclosed"):
        announcing.receive(TestResult(1, 10, 4, 1, 0, 1, 0, 0.0))


@pytest.mark.parametrize(
    "message",
    [
        matched(3, [0, 100]),
        matched(3, [4, 4]),
        matched(3, [0], epoch=2),
        matched(3, [0], peer_epoch=6),
        msgspec.structs.replace(matched(3, [0, 1]), count=3),
        msgspec.structs.replace(matched(3, [0, 1]), count=10**12),
        SlicesLost(1, 3, 0, "none"),
        EpochBegun(1, 0, 0, 0),
        RunEnded(2, 5, True, ""),
        TestDisclosure(1, 10, b""),
        TestResult(1, 10, 4, 1, 0, 1, 0, 0.0),
    ],
)
def test_the_announcing_end_refuses(announcing, message):
    with pytest.raises(ProtocolError):
        announcing.receive(message)


def test_a_match_of_events_dropped_here_is_answered_by_dropping_the_slice(announcing):
    announcing.receive(TimesReleased(5, 4))
    assert announcing.receive(matched(3, [2, 6])) == [DropSlices(((1, 3),), "its events are gone")]
    with pytest.raises(BlockDiscarded, match="dropped here"):
        announcing.take_slices([(1, 3)])


def test_a_block_of_slices_whose_runs_go_on_is_refused(announcing):
    announcing.receive(matched(3, [2, 6]))
    with pytest.raises(ProtocolError, match="oldest settled"):
        announcing.take_slices([(1, 3)])


def test_codes_come_out_once_and_in_order_when_both_runs_were_clean(announcing):
    announcing.receive(matched(3, [2, 6]))
    announcing.receive(matched(4, [7, 9]))
    announcing.receive(RunEnded(1, 10**12, True, ""))
    announcing.end_epoch(5, 10**12, True)
    assert announcing.settled_pairs == 4
    assert announcing.take_slices([(1, 3), (1, 4)]).tolist() == [3, 3, 0, 2]
    with pytest.raises(ProtocolError, match="oldest settled"):
        announcing.take_slices([(1, 3)])


@pytest.mark.parametrize("slices", [[], [4], [4, 3], [3, 5], [3, 3], [3, 4, 5, 6], [2, 3]], ids=str)
def test_a_block_is_made_of_the_oldest_settled_slices_in_order(announcing, slices):
    """A peer that could choose among slices could choose by their errors."""
    for place, index in enumerate((3, 4, 5)):
        announcing.receive(matched(index, [place]))
    announcing.receive(RunEnded(1, 10**12, True, ""))
    announcing.end_epoch(5, 10**12, True)
    with pytest.raises(ProtocolError, match="oldest settled"):
        announcing.take_slices([(1, index) for index in slices])


def test_a_block_with_a_slice_dropped_here_is_discarded_with_the_others_of_it(announcing):
    announcing.receive(TimesReleased(5, 4))
    announcing.receive(matched(3, [2]))
    announcing.receive(matched(4, [6]))
    announcing.receive(matched(5, [7]))
    announcing.receive(RunEnded(1, 10**12, True, ""))
    announcing.end_epoch(5, 10**12, True)
    with pytest.raises(BlockDiscarded, match=r"\(1, 3\) was dropped here"):
        announcing.take_slices([(1, 3), (1, 4)])
    assert announcing.settled_ids() == [(1, 5)]


def test_a_change_of_mode_for_what_is_being_recorded_is_refused(announcing):
    """Own times reach to 0.1 s, and the peer's clock is 0.3 s ahead: slice 4 begins at 0.4 s."""
    announcing.receive(msgspec.structs.replace(matched(3, [0, 1]), offset_ps=3 * 10**11 + 5))
    with pytest.raises(ProtocolError, match="recorded already"):
        announcing.receive(ModeChange("test", 1, 4))
    announcing.receive(ModeChange("test", 1, 5))
    announcing.receive(ModeChange("key", 2, 0))


def test_a_change_of_mode_is_accepted_where_the_clock_is_not_known_yet(announcing):
    announcing.receive(ModeChange("test", 1, 0))


def test_a_change_of_mode_begins_after_the_present_by_the_clock_that_is_ahead():
    end = ReferenceEnd(TIMING)
    assert end.set_mode("test", 2 * 10**11).index == 2, "a run may have begun just now"
    end.begin_epoch(7, 10**18)
    end.add(7, np.empty(0, np.int64), np.empty(0, np.uint8), 10**12)
    assert end.next_slice(10**11) == (7, 11)
    assert end.next_slice(10**11, 10**18 + 5 * 10**8) == (7, 11), "a clock that is behind"
    assert end.next_slice(10**11, 10**18 + 3 * 10**9) == (7, 31)
    change = end.set_mode("key", 10**11, 10**18 + 3 * 10**9 + 1)
    assert (change.epoch, change.index) == (7, 32)


def test_all_times_that_leave_an_end_are_ticks_and_true():
    """Announced times and promises are rounded alike, so that every promise is kept."""
    end, peer = AnnouncingEnd(TIMING), ReferenceEnd(TIMING)
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.integers(61_000, 10**6, 3000))
    end.begin_session()
    peer.begin_session()
    said = end.begin_epoch(5, 10**18, 1234)
    codes = np.zeros(3000, np.uint8)
    for low in range(0, 3000, 100):
        until = int(times[low + 100]) if low < 2900 else None
        said += end.add(5, times[low : low + 100], codes[low : low + 100], until)
    end.receive(TimesReleased(5, 1000))
    again = end.begin_session()
    said += end.end_epoch(5, int(times[-1]) + 777, True)
    tick = TIMING.announce_resolution_ps
    for message in said + again:
        named = [v for k, v in msgspec.structs.asdict(message).items() if k.endswith("_ps")]
        assert named and all(time % tick == 0 for time in named)
    for message in said:
        peer.receive(message)  # would refuse an event before what was said to be complete
    later = ReferenceEnd(TIMING)
    for message in [*again, said[-1]]:
        later.receive(message)
    assert np.array_equal(next(iter(peer._peers)).since(0).times, times // tick * tick)
    assert np.array_equal(next(iter(later._peers)).since(0).times, times[1000:] // tick * tick)


SAME_TICK = deltas.encode(np.full(EVENTS_A_MESSAGE + 1, 10, np.int64), 10)


def announce(first_index=0, first_tick=10, count=2, data=b"\x01\x02\x09", complete=9000, epoch=5):
    return TimesAnnounced(epoch, first_index, first_tick, count, data, complete)


@pytest.mark.parametrize(
    "message",
    [
        announce(epoch=6),
        announce(count=3),
        announce(count=-1),
        announce(data=b"\x01\x02\x19"),
        announce(count=EVENTS_A_MESSAGE + 1, data=SAME_TICK),
        announce(first_tick=-3),
        announce(first_tick=2**62),
        announce(complete=2**62),
        EpochBegun(5, 0, 0, 0),
        EpochBegun(6, 0, 2**62, 0),
        RunEnded(5, 2**62, True, ""),
        TestDisclosure(1, 10, b""),
        matched(3, [0]),
        ModeChange("test", 1, 1),
    ],
)
def test_the_reference_end_refuses(reference, message):
    with pytest.raises(ProtocolError):
        reference.receive(message)


def test_a_gap_between_announcements_is_refused(reference):
    reference.receive(announce(first_index=7))
    with pytest.raises(ProtocolError, match="missing"):
        reference.receive(announce(first_index=10, first_tick=100))


def test_own_runs_are_checked():
    end = AnnouncingEnd(TIMING)
    assert end.begin_epoch(5, 0) == []
    with pytest.raises(ValueError, match="does not follow"):
        end.begin_epoch(5, 0)
    with pytest.raises(ValueError, match="still running"):
        end.begin_epoch(6, 0)
    with pytest.raises(ValueError, match="not running"):
        end.add(4, np.empty(0, np.int64), np.empty(0, np.uint8))
    with pytest.raises(ValueError, match="not running"):
        end.end_epoch(4, 0, True)


def test_events_that_a_delay_moves_over_the_borders_of_a_run_do_no_harm():
    end = AnnouncingEnd(TIMING)
    end.begin_session()
    end.begin_epoch(5, 0)
    said = end.add(5, np.array([-700, 300, 10**6], np.int64), np.zeros(3, np.uint8))
    assert [m.count for m in said if isinstance(m, TimesAnnounced)] == [2]
    (ended,) = end.end_epoch(5, 10**6 - 500, True)
    assert ended == RunEnded(5, 10**6, True, "")

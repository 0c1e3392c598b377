"""What a peer that misbehaves is told: nothing that could become key, and the session ends."""

import msgspec
import numpy as np
import pytest

from qkd_controller.acquisition.announcing import AnnouncingEnd
from qkd_controller.acquisition.reference import ReferenceEnd
from qkd_controller.config.link import Timing
from qkd_controller.link.acquisition_messages import (
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
    with pytest.raises(BlockDiscarded, match="unknown slice"):
        announcing.take_slices([(1, 3)])


def test_a_block_of_slices_whose_runs_go_on_is_refused(announcing):
    announcing.receive(matched(3, [2, 6]))
    with pytest.raises(ProtocolError, match="not over"):
        announcing.take_slices([(1, 3)])


def test_codes_come_out_once_and_in_order_when_both_runs_were_clean(announcing):
    announcing.receive(matched(3, [2, 6]))
    announcing.receive(matched(4, [7, 9]))
    announcing.receive(RunEnded(1, 10**12, True, ""))
    announcing.end_epoch(5, 10**12, True)
    assert announcing.settled_pairs == 4
    assert announcing.take_slices([(1, 3), (1, 4)]).tolist() == [3, 3, 0, 2]
    with pytest.raises(BlockDiscarded):
        announcing.take_slices([(1, 3)])


def announce(first_index=0, first_tick=10, count=2, data=b"\x00\x05", complete=9000, epoch=5):
    return TimesAnnounced(epoch, first_index, first_tick, count, data, complete)


@pytest.mark.parametrize(
    "message",
    [
        announce(epoch=6),
        announce(count=3),
        announce(data=b"\x00\x85"),
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

"""The time controller's firmware, and the service beside it, in a program's hands."""

import json
from typing import Any

import numpy as np
import pytest
from direct import Client

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.cores.id900 import Id900

RECORD_PS = PS_PER_S // 5


def recording(core: Id900, *channels: int) -> Client:
    """A client that has begun to record 2 sub-acquisitions of these channels."""
    client = Client(core)
    client.ask(b"INPU1:THRE -0.4;:INPU2:THRE -0.4;:INPU3:THRE -0.4;:INPU4:THRE -0.4\n")
    client.ask(f"REC:ENAB ON;NUM 2;PWID {RECORD_PS};PPER {RECORD_PS + 40_000}\n".encode())
    for channel in channels:
        core.link.execute(f"start-stream --address box --channel {channel} --stream-port {channel}")
        client.ask(f"RAW{channel}:SEND ON\n".encode())
    assert client.ask(b"REC:PLAY\n") == b"Done\n"
    return client


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"*IDN?", b"IDQuantique,ID900,SN-1,1.14.0"),
        (b"INPU1:THRE 400mV;THRE?", b"Value set to 400mV\n0.4V"),
        (b"inpu:thre -0.4V", b"Value set to -0.4V"),
        (b"INPUT2:ENABLE OFF;:INPU2:ENAB?;EDGE?", b"Value set to OFF\nOFF\nRISING"),
        (b"DELA1:VALU 2GTB;VALU?", b"Value set to 2GTB\n2000000000TB"),
        (b"INPU1:COUN?;:INPU2:COUN?", b"0\n0"),
        (b"DEVI:RES:BWID?", b"1"),
        (b"REC:NUM INF;NUM?", b"Value set to INF\nINF"),
        (b"REC:STAG?", b"IDLE"),
    ],
)
def test_requests_are_answered_as_the_manual_and_the_examples_have_it(
    request_: bytes, answer: bytes
) -> None:
    """Short and long forms, any case, units both ways, subtrees, a line an answer."""
    assert Client(Id900("SN-1")).ask(request_ + b"\n") == answer + b"\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"FOO",
        b"INPU9:ENAB ON",
        b"INPU1:THRE 7",
        b"REC:PWID 1000",
        b"RAW1:STOP:LINK MOON",
        b"REC:PLAY",
    ],
)
def test_what_is_refused_is_answered_too_and_queued(request_: bytes) -> None:
    """A REQ client waits for one answer whatever it asked."""
    core = Id900("SN-1")
    client = Client(core)
    assert client.ask(request_ + b"\n").startswith(b"Error -")
    assert core.status.error_count == 1


def test_each_sub_acquisition_begins_at_0_and_sends_a_frame_even_if_empty() -> None:
    """The tags of channel 1 from the first and the second; nothing of channel 2."""
    core = Id900("SN-1")
    recording(core, 1, 2)
    period = RECORD_PS + 40_000
    times = np.array([5, RECORD_PS - 1, RECORD_PS + 3, period + 9], np.int64)
    core.clicks(times, np.ones(4, np.uint8))
    core.advance(2 * period)
    frames = {
        a.channel: [np.frombuffer(f, "<u8").tolist() for f in a.queue]
        for a in core.link.acquisitions.values()
    }
    assert frames == {1: [[5, RECORD_PS - 1], [9]], 2: [[], []]}
    assert not core.streaming


def test_tags_that_find_no_room_are_counted_as_errors() -> None:
    """What does not fit is lost, and RAW:ERRORS? tells how much."""
    core = Id900("SN-1", fifo_bytes=80)
    client = recording(core, 1)
    core.clicks(np.arange(25, dtype=np.int64), np.ones(25, np.uint8))
    core.advance(2 * RECORD_PS)
    assert client.ask(b"RAW1:ERRORS?;ERRORS:CLEAR;:RAW1:ERRORS?\n") == b"15\nDone\n0\n"


def test_the_service_answers_in_json_and_names_what_it_declines() -> None:
    """Acquisitions are named after the box and its channel; counts are told at the end."""
    core = Id900("SN-1")

    def ask(command: str) -> Any:
        return json.loads(core.link.execute(command))

    start = "start-stream --address 10.0.0.9 --channel 2 --stream-port 4243"
    assert ask(start) == {"id": "10.0.0.9:5557"}
    assert ask("list") == ["10.0.0.9:5557"]
    status = {"acquisitions_count": 0, "timestamps_count": 0, "inactivity": 0.0, "errors": []}
    assert ask("status --id 10.0.0.9:5557") == status
    for command in (start, "stop --id 1", "dance", "", "start-stream --channel 9", '"'):
        assert ask(command)["error"]["description"]
    assert ask("stop --id 10.0.0.9:5557") == {"status": status}
    assert ask("list") == []

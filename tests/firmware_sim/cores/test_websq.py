"""The WebSQ's own bytes: JSON without an end from clients, objects with ETB to every client."""

import json
from typing import Any

import numpy as np
import pytest
from direct import Client
from hypothesis import given
from hypothesis import strategies as st

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.cores.websq import WebSq

ASK = b'{"request":"labelProps","value":"None"}'


def told(heard: bytes) -> dict[str, Any]:
    *objects, rest = heard.split(b"\x17")
    assert rest == b"", "every object has its end"
    return {each["label"]: each["value"] for each in map(json.loads, objects)}


def test_a_question_is_answered_by_every_label() -> None:
    labels = told(Client(WebSq()).ask(ASK))
    assert labels["NumberOfDetectors"]["value"] == 4
    assert labels["BiasCurrent"]["units"] == "uA" and labels["BiasCurrent"]["bounds"] == [0, 40]


@given(cut=st.integers(0, 200))
def test_requests_may_be_glued_and_cut_anywhere(cut: int) -> None:
    core = WebSq()
    client = Client(core)
    data = (
        b'{"command":"SetAllTriggerLevels","label":"TriggerLevel","value":[1,2,3,4]}'
        b'{"command":"DetectorEnable","label":"DetectorEnable","value":true}\n'
    )
    client.ask(data[:cut])
    client.ask(data[cut:])
    assert core.triggers_mv == [1, 2, 3, 4] and core.enabled


def test_a_change_is_told_to_every_client_unasked() -> None:
    core = WebSq()
    one, other = Client(core), Client(core)
    heard = one.ask(b'{"command":"SetAllBiasCurrents","value":[1,2,3,4]}')
    assert told(heard)["BiasCurrent"]["value"] == [1, 2, 3, 4]
    assert other.heard() == heard


@pytest.mark.parametrize(
    "request_",
    [
        b'{"command":"SetAllBiasCurrents","value":[1,2,3]}',
        b'{"command":"SetAllBiasCurrents","value":[1,2,3,41]}',
        b'{"command":"DetectorEnable","value":"yes"}',
        b'{"command":"SetMeasurementPeriod","value":0}',
        b'{"command":"MakeTea"}',
    ],
)
def test_a_bad_command_is_told_to_its_sender_and_changes_nothing(request_: bytes) -> None:
    core = WebSq()
    client, other = Client(core), Client(core)
    assert "CommandError" in told(client.ask(request_))
    assert other.heard() == b""
    assert core.currents_ua == [0] * 4 and not core.enabled and core.period_ms == 100


def test_a_line_of_counts_comes_each_period() -> None:
    core = WebSq()
    listener = core.counts_session()
    Client(core).ask(
        b'{"command":"SetMeasurementPeriod","value":200}'
        b'{"command":"SetAllBiasCurrents","value":[20,20,0,0]}'
        b'{"command":"DetectorEnable","value":true}'
    )
    core.clicks(np.arange(1000, dtype=np.int64))
    core.advance(PS_PER_S // 2)
    lines = listener.take(10_000).decode().splitlines()
    assert len(lines) == 2
    assert [float(field) for field in lines[0].split(",")[1:]] == [250, 250, 0, 0]
    assert [float(field) for field in lines[1].split(",")[1:]] == [0, 0, 0, 0]


def test_a_wire_latches_above_its_critical_current_until_it_is_let_go() -> None:
    core = WebSq()
    client = Client(core)
    client.ask(b'{"command":"DetectorEnable","value":true}')
    client.ask(b'{"command":"SetAllBiasCurrents","value":[35,20,20,20]}')
    client.ask(b'{"command":"SetAllBiasCurrents","value":[20,20,20,20]}')
    assert core.channels[0].response().efficiency == 0 < core.channels[1].response().efficiency
    client.ask(b'{"command":"DetectorEnable","value":false}')
    client.ask(b'{"command":"DetectorEnable","value":true}')
    assert core.channels[0].response().efficiency > 0.8

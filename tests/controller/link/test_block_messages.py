"""No message about a block carries more bits than it is charged for."""

from typing import Union

import msgspec
import pytest

from qkd_controller.link.block_messages import (
    BLOCK_MESSAGES,
    Bases,
    CascadeBegun,
    Confirmation,
    FrameChecks,
    FramesDisclosed,
    ParitiesTold,
    ParityAnswers,
    ParityQuestions,
    StringDisclosed,
    SyndromesBegun,
)
from qkd_controller.security.ledger import LedgerClass

DECODER = msgspec.msgpack.Decoder(Union[BLOCK_MESSAGES])  # noqa: UP007


@pytest.mark.parametrize(
    ("message", "cost_bits"),
    [
        (ParityAnswers(1, "z", 9, b"\xff\x01"), 9),
        (ParityAnswers(1, "z", 0, b""), 0),
        (Confirmation(1, "x", bytes(16), bytes(16), 50), 78),
        (FrameChecks(1, "x", bytes(16), bytes(12)), 96),
        (FramesDisclosed(1, "z", 12, b"\xff\x0f"), 12),
        (ParitiesTold(1, "z", 10, b"\xff\x03"), 10),
        (StringDisclosed(1, "x", 11, b"\xff\x07"), 11),
        (SyndromesBegun(1, "z", 1 << 16, 5000, 12), 0),
        (ParityQuestions(1, "z", 2, memoryview(bytes(8))), 0),
        (Bases(1, 3, memoryview(b"\x05")), 0),
    ],
)
def test_costs_survive_the_wire(message, cost_bits: int) -> None:
    received = DECODER.decode(msgspec.msgpack.encode(message))
    assert received == message
    assert received.cost_bits() == cost_bits
    if cost_bits:
        told_openly = isinstance(message, StringDisclosed)
        paid_as = LedgerClass.DISCLOSED if told_openly else LedgerClass.LEAKED
        assert received.ledger_class is paid_as
        assert received.paid_by() == message.string


@pytest.mark.parametrize(
    "wire",
    [
        ["ParityAnswers", 1, "z", 8, b"\xff\x01"],
        ["ParityAnswers", 1, "z", 1, b"\xff"],
        ["ParityAnswers", 1, "z", -1, b""],
        ["ParityAnswers", 1, "y", 1, b"\x01"],
        ["Confirmation", 1, "z", bytes(16), bytes(17), 0],
        ["Confirmation", 1, "z", bytes(16), bytes(16), 129],
        ["Confirmation", 1, "z", bytes(16), bytes(16), -1],
        ["FrameChecks", 1, "z", bytes(16), bytes(5)],
        ["FramesDisclosed", 1, "z", 7, b"\x80"],
        ["ParitiesTold", 1, "z", 7, b"\x80"],
        ["ParitiesTold", 1, "z", 8, b"\x80\x00"],
        ["StringDisclosed", 1, "x", 9, b"\x80"],
        ["StringDisclosed", 1, "x", -8, b""],
        ["SyndromesBegun", 1, "z", 65536, 5000],
        ["ParityQuestions", 1, "z", bytes(5)],
        ["Bases", 1, 9, b"\x00"],
    ],
)
def test_unpaid_bits_are_refused_on_the_wire(wire: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(msgspec.msgpack.encode(wire))


def test_every_message_that_costs_names_its_payer() -> None:
    for kind in BLOCK_MESSAGES:
        if kind.ledger_class is not LedgerClass.PUBLIC:
            assert "string" in kind.__struct_fields__


@pytest.mark.parametrize("passes", [0, 9, 100_000])
def test_a_plan_of_too_many_passes_is_refused_before_anything_is_drawn(passes: int) -> None:
    with pytest.raises(ValueError, match="passes"):
        CascadeBegun(1, "z", bytes(32), (4,) * passes, (0,))

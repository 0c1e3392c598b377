"""The faults of wires and devices: listed from one table, refused where they cannot happen."""

import asyncio
from typing import Any

import bench as lab
import pytest

from qkd_firmware_sim import actions
from qkd_firmware_sim.bench import FRONTS
from qkd_firmware_sim.frontends.faults import FAULTS, table
from qkd_firmware_sim.frontends.wire import Wire
from qkd_firmware_sim.main import main
from qkd_firmware_sim.world import World, WorldError


def test_the_help_lists_every_fault_and_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    """`qkd-sim faults` and `qkd-sim --help` tell all, with parameters and wires."""
    assert main(["faults"]) == 0
    told = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert told.strip() in capsys.readouterr().out
    words = told.split()
    assert words.count("delay_s") + words.count("delay_s)") >= 1
    assert all(name in words for name in (*FAULTS, *actions.ACTIONS))


def test_the_columns_of_the_help_are_aligned() -> None:
    head, *rows = table()
    starts = [head.index(name) for name in ("wires", "parameters", "what happens")]
    for row, fault in zip(rows, FAULTS.values(), strict=True):
        cells = [" ".join(fault.fronts), ", ".join(fault.parameters), fault.meaning]
        assert all(
            row.startswith(cell, start) and row[start - 1] == " "
            for cell, start in zip(cells, starts, strict=True)
        )


def test_every_fault_names_front_ends_and_parameters_that_exist() -> None:
    for fault in FAULTS.values():
        assert fault.fronts and set(fault.fronts) <= FRONTS.keys()
        assert set(fault.parameters) <= set(actions.WireFault.__struct_fields__)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wire_refuses_what_it_cannot_show(front: str, fault: str) -> None:
    """The error says where it does happen."""
    wire = Wire((front,))
    if front in FAULTS[fault].fronts:
        asyncio.run(wire.apply(fault))
    else:
        with pytest.raises(ValueError, match=f"happens on .*not on {front}"):
            asyncio.run(wire.apply(fault))


@pytest.mark.parametrize(
    ("fault", "options", "sent", "arrives"),
    [
        ("drop", {}, [b"1\r\n", b"2\r\n"], [b"", b"2\r\n"]),
        ("duplicate", {}, [b"1\r\n", b"2\r\n"], [b"1\r\n1\r\n", b"2\r\n"]),
        ("terminator", {"text": "\r"}, [b"1\r\n", b"2\n"], [b"1\r", b"2\r"]),
        ("terminator", {"text": "\\1"}, [b"1\n"], [b"1\\1"]),
        ("terminator", {"text": ";"}, [b"{}\x17{}\x17"], [b"{};{};"]),
    ],
)
async def test_what_arrives_of_what_was_sent(
    fault: str, options: dict[str, Any], sent: list[bytes], arrives: list[bytes]
) -> None:
    wire = Wire()
    await wire.apply(fault, **options)
    assert [wire.carry(data) for data in sent] == arrives
    await wire.apply("restore")
    assert wire.carry(b"1\r\n") == b"1\r\n"


def test_a_stalled_regulator_stays_where_it_is(world: World) -> None:
    """And goes on where it stood."""
    spd: Any = world.cores["alice-spd-1"]
    spd.receive(b"settemp -10;loop 1;")
    world.act(actions.Stall("alice-spd-1"))
    before_c = spd.regulated.temperature_c
    for _ in range(50):
        world.tick()
    assert spd.regulated.temperature_c == before_c
    world.act(actions.Stall("alice-spd-1", stalled=False))
    for _ in range(50):
        world.tick()
    assert spd.regulated.temperature_c < before_c


@pytest.mark.parametrize("model", ["oz-dd100", "jdsu-ha9", "thorlabs-k10cr1", "thorlabs-ell14"])
def test_slow_motors_can_be_had_of_every_model_that_has_some(model: str) -> None:
    assert lab.simulated(model).slowness == 1.0


def test_a_slow_attenuator_takes_longer() -> None:
    """Ten times slower, it has come a tenth of the way."""
    way_db = []
    for slowness in (1.0, 10.0):
        core = lab.simulated("jdsu-ha9")
        core._motor_speed, core.slowness = 1.0, slowness
        core.answer("ATT 50")
        core.advance(10**11)
        way_db.append(core._stands_db)
    assert 0 < way_db[1] == pytest.approx(way_db[0] / 10)


def test_another_instrument_answers_after_a_swap(world: World) -> None:
    core: Any = world.cores["bob-spd-1"]
    world.act(actions.Swap("bob-spd-1", "S-Fifteen Instruments SPD OTHER firmware 9"))
    core.receive(b"*idn?;")
    assert b"OTHER" in core.take(100)
    world.act(actions.Swap("bob-spd-1"))
    core.receive(b"*idn?;")
    assert b"bob-spd-1" in core.take(100)


def test_another_firmware_is_one_that_is_known_of_the_model(world: World) -> None:
    core: Any = world.cores["epc"]
    world.act(actions.Firmware("epc", "echo"))
    core.receive(b"V?\r\n")
    assert core.take(100).startswith(b"V?\r\n")
    with pytest.raises(WorldError, match=r"epc has no firmware 'x'; it has echo \(.*blank"):
        world.act(actions.Firmware("epc", "x"))


def test_what_cannot_happen_to_a_device_is_refused(world: World) -> None:
    for action in (
        actions.Stall("alice-tagger"),
        actions.Slow("pump", 2.0),
        actions.Swap("epc", "another"),
        actions.Firmware("oven", "another"),
    ):
        with pytest.raises(WorldError, match="cannot happen"):
            world.act(action)

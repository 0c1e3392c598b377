"""Instruments of every model act on the light by their role."""

import numpy as np
import pytest

from qkd_firmware_sim.cores.core import PS_PER_S
from qkd_firmware_sim.lab import LabError, parse
from qkd_firmware_sim.world import World

TABLE = """
thermal_speed = 50
[[instruments]]
name = "pump"
model = "srs-ldc500"
[[instruments]]
name = "oven"
model = "s15-spdc"
[[instruments]]
name = "monitor"
model = "thorlabs-pm100d"
[[instruments]]
name = "detector"
model = "idq-id120"
detector = 1
[[instruments]]
name = "plate"
model = "thorlabs-{plate}"
"""


def table(plate: str = "ell14") -> World:
    return World(parse(TABLE.format(plate=plate)))


def let_pass(world: World, seconds: float) -> None:
    end = world.now_ps + round(seconds * PS_PER_S)
    while world.now_ps < end:
        world.tick()


def test_a_pump_of_another_maker_makes_pairs_and_light_for_the_monitor() -> None:
    world = table()
    pump, monitor = world.cores["pump"], world.cores["monitor"]
    world.cores["oven"].receive(b"power 1;hrate 1;hsettemp 45;hloop 1;")  # type: ignore[attr-defined]
    let_pass(world, 1)
    assert world.status()["pair_rate_hz"] == 0
    pump.execute("TEON ON;:SILD 60;:LDON ON")  # type: ignore[attr-defined]
    monitor.execute("SENS:CORR:WAV 405")  # type: ignore[attr-defined]
    let_pass(world, 3)
    assert world.status()["pair_rate_hz"] > 1e5  # type: ignore[operator]
    shown_w = float(monitor.execute("MEAS:POW?"))  # type: ignore[attr-defined]
    assert shown_w == pytest.approx(0.035, rel=0.01)


def test_a_detector_counts_what_its_bias_lets_it_see() -> None:
    world = table()
    detector = world.cores["detector"]
    detector.execute(  # type: ignore[attr-defined]
        "REG:TEMP_SET_POINT -10000;:REG:RUN TRUE;:COUNTERS:INTEGRATION_TIME 200"
    )
    let_pass(world, 1)
    assert detector.execute("COUNTERS:DETECTION_COUNT?") == "0"  # type: ignore[attr-defined]
    detector.execute("BIAS:VOLTAGE 195000000")  # type: ignore[attr-defined]
    let_pass(world, 2)
    rate = int(detector.execute("COUNTERS:DETECTION_FREQ?"))  # type: ignore[attr-defined]
    assert 100 < rate < 1000, "its dark counts"


@pytest.mark.parametrize("plate", ["ell14", "k10cr1", "mpc320"])
def test_a_turned_plate_turns_the_polarisation(plate: str) -> None:
    world = table(plate)
    world.cores["pump"].execute("TEON ON;:SILD 60;:LDON ON")  # type: ignore[attr-defined]
    turn = world.cores["plate"].turn  # type: ignore[attr-defined]
    before, qber = turn(1.0), world.status()["qber_z"]
    assert np.allclose(before @ before.T, np.eye(3))
    moves = {
        "ell14": b"0ma00003000",
        "k10cr1": bytes.fromhex("53040600d001" + "0100" + "00002f00"),
        "mpc320": bytes.fromhex("100207015001" + "53040600d001" + "0200" + "a0000000"),
    }
    world.cores["plate"].receive(moves[plate])  # type: ignore[attr-defined]
    let_pass(world, 3)
    assert not np.allclose(turn(1.0), before)
    assert world.status()["qber_z"] != qber


def test_nanowires_are_the_four_detectors_of_their_end() -> None:
    world = World(
        parse('[[instruments]]\nname = "eos"\nmodel = "single-quantum-websq"\nend = "bob"')
    )
    box = world.cores["eos"]
    listener = box.counts_session()  # type: ignore[attr-defined]
    box.session().receive(
        b'{"command":"SetAllBiasCurrents","value":[20,20,20,0]}'
        b'{"command":"DetectorEnable","value":true}'
    )
    let_pass(world, 3)
    efficiency = world.status()["efficiency"]
    assert efficiency[:4] == [0, 0, 0, 0] and efficiency[7] < 1e-9  # type: ignore[index]
    assert min(efficiency[4:7]) > 0.8  # type: ignore[index]
    counts = np.array(
        [[float(field) for field in line.split(b",")] for line in listener.take(1 << 20).split()]
    )[:, 1:].sum(0)
    assert (counts[:3] > 150).all() and counts[3] == 0, "100 dark counts a second"


def test_an_end_has_room_for_one_detector_of_each_number() -> None:
    text = """
[[instruments]]
name = "eos"
model = "single-quantum-websq"
[[instruments]]
name = "spd"
model = "s15-spd"
detector = 3
"""
    with pytest.raises(LabError, match=r"\(spd\): its place on the table is taken by .*\(eos\)"):
        parse(text)

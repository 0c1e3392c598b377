"""Every instrument's wire is cut and mended; the link comes back by itself."""

from collections.abc import Collection

import pytest
from testbed import Testbed
from waiting import until

# Each instrument: its name on the table, whose it is, and what that node calls it.
INSTRUMENTS = {
    "oven": ("alice", "oven"),
    "pump": ("alice", "pump"),
    "epc": ("bob", "epc"),
    **{f"{end}-tagger": (end, "tagger") for end in ("alice", "bob")},
    **{f"{end}-spd-{i}": (end, f"spd-{i}") for end in ("alice", "bob") for i in (1, 2, 3, 4)},
}

# What a device reads when it is where the configuration wants it, and how far it may be off.
SET_POINTS = {
    "oven": {"temperature_c": (28.0, 1.0)},
    "pump": {"current_a": (0.06, 0.001), "temperature_c": (25.0, 0.5)},
    "epc": {"voltage_1_mv": (120, 0), "voltage_2_mv": (0, 0), "voltage_3_mv": (-80, 0)},
    "tagger": {},
    "spd": {"bias_voltage_v": (195.0, 0.5), "temperature_c": (-10.0, 1.5)},
}


def test_cut_wires_are_mended(bed: Testbed) -> None:
    """Wires of one instrument of each kind are cut at once, at both ends, and mended."""
    lose_and_mend(bed, ("oven", "epc", "alice-spd-1", "bob-tagger"), settings=False)


def test_instruments_that_lost_their_settings_are_driven_back(bed: Testbed) -> None:
    """While the wire is cut the instrument restarts and forgets all it was told.

    All come back by themselves but the pump, which has gone out and lights again once re-armed.
    """
    lose_and_mend(bed, ("pump", "bob-spd-3", "alice-tagger"), settings=True)


@pytest.mark.soak
@pytest.mark.parametrize("settings", [False, True], ids=["cut", "cut and reset"])
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_any_instrument(bed: Testbed, instrument: str, settings: bool) -> None:
    """Each by itself."""
    lose_and_mend(bed, (instrument,), settings)


def test_a_stopped_node_brings_its_instruments_to_rest(bed: Testbed) -> None:
    """SIGTERM: exit status 0, no light, no bias; the other end waits for it."""
    assert bed.table()["pair_rate_hz"] > 1e5
    assert bed.alice.stop() == 0
    table = bed.table()
    assert table["pair_rate_hz"] < 1
    assert table["efficiency"][:4] == [0.0] * 4
    until(lambda: bed.bob.is_("connecting"), "bob waits for alice")
    assert bed.bob.stop() == 0
    assert bed.table()["efficiency"] == [0.0] * 8
    for node in bed.nodes.values():
        assert node.errors.read_text() == ""
        assert node.log.events()[-1]["event"] == "node_stopped"


def lose_and_mend(bed: Testbed, instruments: Collection[str], settings: bool) -> None:
    """Cuts, shows, mends, is back where it was."""
    bed.until_keying()
    before = bed.table()
    sessions = bed.sessions()
    marks = {name: node.log.mark() for name, node in bed.nodes.items()}
    for instrument in instruments:
        bed.act("wire", device=instrument, fault="cut")
    for instrument in instruments:
        end, device = INSTRUMENTS[instrument]
        node = bed.nodes[end]

        def missed(device: str = device, end: str = end) -> bool:
            return any(
                event["device"] == device and event["state"] == "disconnected" and event["cause"]
                for event in bed.nodes[end].log.events("device", marks[end])
            )

        until(missed, f"{end} misses its {device}")
        shown = node.device(device)
        assert shown is not None
        assert shown.state != "ready"
        assert shown.cause
    for node in bed.nodes.values():
        link = until(
            lambda node=node: (link := node.link()) and link.state == "preparing" and link,
            f"{node.name} makes no key",
        )
        assert any(INSTRUMENTS[instrument][1] in link.cause for instrument in instruments)

    for instrument in instruments:
        if settings:
            bed.act("reset", device=instrument)
        bed.act("wire", device=instrument, fault="restore")
    if settings and "pump" in instruments:  # it went out, so it waits for the operator
        until(
            lambda: (d := bed.alice.device("pump")) and d.state == "tripped", "the dark pump trips"
        )
        bed.alice.rearm("pump")
    bed.until_keying()
    for instrument in instruments:
        end, device = INSTRUMENTS[instrument]

        def at_its_set_points(instrument: str = instrument) -> bool:
            end, device = INSTRUMENTS[instrument]
            found = bed.nodes[end].device(device)
            wanted = SET_POINTS[device.partition("-")[0]]
            return (
                found is not None
                and found.state == "ready"
                and all(
                    name in found.readings and abs(found.readings[name][0] - value) <= tolerance
                    for name, (value, tolerance) in wanted.items()
                )
            )

        until(at_its_set_points, f"{instrument} is back: {bed.nodes[end].device(device)}")
    after = bed.table()
    assert after["pair_rate_hz"] == pytest.approx(before["pair_rate_hz"], rel=0.05)
    assert after["efficiency"] == pytest.approx(before["efficiency"], rel=0.05)
    bed.until_released()
    assert bed.sessions() == sessions, "a lost instrument costs no session"
    bed.same_keys("alice", number=1)
    bed.assert_calm()

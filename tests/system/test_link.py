"""A link that makes key, is attacked, and loses tags; one bring-up for all."""

import base64
import json
import os
import re
from typing import Any

import pytest
from testbed import ENDS, Testbed, qkd
from testbed_store import assert_same_pools
from waiting import until, while_

METRICS = (
    "qkd_accumulated_epsilon_ratio",
    "qkd_authentication_pad_bytes",
    "qkd_block_stage_duration_seconds",
    "qkd_blocks_total",
    "qkd_build_info",
    "qkd_clock_drift_ratio",
    "qkd_clock_offset_seconds",
    "qkd_coincidences_hertz",
    "qkd_coincidences_to_accidentals_ratio",
    "qkd_delivered_keys_total",
    "qkd_detector_temperature_celsius",
    "qkd_device_reading",
    "qkd_device_up",
    "qkd_error_correction_efficiency_ratio",
    "qkd_error_correction_leaked_bytes_total",
    "qkd_key_store_bytes",
    "qkd_link_state",
    "qkd_qber_ratio",
    "qkd_secret_key_bytes_total",
    "qkd_sifted_bytes_total",
    "qkd_singles_hertz",
    "qkd_tagger_dead_seconds_total",
    "qkd_slices_total",
)


def test_both_ends_make_the_same_key(bed: Testbed) -> None:
    """A key drawn at either end is the one fetched by its ID at the other."""
    for master in ENDS:
        bed.same_keys(master, number=4, size_bits=1024)
    bed.until_released()
    assert_same_pools(*bed.stores())


def test_the_pools_advance_equally(bed: Testbed) -> None:
    """What one end may allocate is what the other may redeem, and both count the same ε."""

    def settled() -> bool:
        links = [node.link() for node in bed.nodes.values()]
        if None in links:
            return False
        alice, bob = links
        return (
            alice.own_key_bits == bob.redeemable_key_bits > 0
            and bob.own_key_bits == alice.redeemable_key_bits > 0
            and 0 < alice.accumulated_epsilon == pytest.approx(bob.accumulated_epsilon)
            and alice.blocks_released == bob.blocks_released > 0
        )

    until(settled, "equal pools at both ends")
    before = bed.alice.link().own_key_bits
    bed.until_released()
    until(lambda: bed.alice.link().own_key_bits > before, "the pool grows")
    until(settled, "equal pools at both ends")


def test_status_tells_what_the_link_does(bed: Testbed) -> None:
    """Every figure of the live table is there at both ends, and plausible."""
    for node in bed.nodes.values():
        status = until(node.status, f"{node.name} answers")
        (link,) = status.links
        assert status.node == node.name
        assert link.state == "keying"
        assert link.peer_connected
        assert link.cause
        assert 50_000 < link.singles_hz < 500_000
        assert 20_000 < link.coincidences_hz < link.singles_hz
        assert link.car_ratio is not None
        assert link.car_ratio > 10
        assert link.qber_z_ratio is not None
        assert link.qber_x_ratio is not None
        assert 0 < link.qber_z_ratio < 0.05
        assert 0 < link.qber_x_ratio < 0.05
        assert 1.0 < link.efficiency_f < 1.3
        assert 0 < link.secret_bits_per_s < link.sifted_bits_per_s
        assert 0 <= link.dead_share_ratio < 0.5
        assert all(device.state == "ready" for device in link.devices)
        assert link.alarms == ()


def test_prometheus_reads_every_documented_metric(bed: Testbed) -> None:
    """The endpoint of each node exports the names of the documentation, with values."""
    for node in bed.nodes.values():
        text = node.metrics()
        samples = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line[:1] != "#"}
        families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in samples}
        assert set(METRICS) <= families | samples, set(METRICS) - families - samples
        assert 'qkd_link_state{link="demo",qkd_link_state="keying"} 1.0' in text
        released = re.search(r'qkd_blocks_total{link="demo",outcome="released"} (\S+)', text)
        assert released
        assert float(released[1]) >= 1
        matched = re.search(r'qkd_slices_total{link="demo",outcome="matched"} (\S+)', text)
        assert matched
        assert float(matched[1]) > 10


def test_an_overflow_makes_its_run_unsafe(bed: Testbed) -> None:
    """Tags lost in a tagger are told and counted, cost their whole run, and nothing else."""
    for name in ENDS:
        node = bed.nodes[name]
        mark = node.log.mark()
        unsafe = {end: bed.nodes[end].link().slices["unsafe"] for end in ENDS}
        bed.act("overflow", device=f"{name}-tagger")
        (run, *_) = until(
            lambda node=node, mark=mark: node.log.events("run_unsafe", mark), "the run is unsafe"
        )
        assert "dropped tags" in run["cause"]
        for end in ENDS:
            until(
                lambda end=end, unsafe=unsafe: bed.nodes[end].link().slices["unsafe"] > unsafe[end],
                f"{end} counts the unsafe slices",
            )
        bed.until_released()
    for node in bed.nodes.values():
        assert node.log.events("block_discarded") == []
    assert bed.sessions() == [1, 1]
    assert_same_pools(*bed.stores())


def test_an_attacker_gets_no_key_and_is_told_of(bed: Testbed) -> None:
    """Intercept-resend on all photons: no key, an alarm; key again once it has left."""
    until(lambda: bed.alice.link().block.stage == "collecting", "a block is being collected")
    marks = {name: node.log.mark() for name, node in bed.nodes.items()}
    before = bed.stores()[0].highest
    # On a busy machine whole blocks may wait; one is being distilled, one is in unsettled runs.
    in_flight = int(bed.alice.link().block.progress_ratio) + 2
    bed.act("attack", fraction=1.0)
    for node in bed.nodes.values():
        until(lambda node=node: node.is_("alarm"), f"{node.name} raises the alarm")
        link = node.link()
        assert any("eavesdropping" in alarm for alarm in link.alarms)
    # Longer than a run of the taggers: what was measured before the attack is settled by then.
    while_(lambda: bed.alice.is_("alarm") and bed.bob.is_("alarm"), "the alarm stands", for_s=4)
    until(lambda: bed.alice.link().block.progress_ratio < 1, "what waited is distilled")
    for node in bed.nodes.values():
        until(lambda node=node: node.link().block.stage == "collecting", "all is distilled")
    released = bed.released()
    while_(lambda: bed.released() == released, "no key under attack", for_s=3)
    assert bed.stores()[0].highest <= before + in_flight

    bed.act("attack", fraction=0.0)
    bed.until_keying()
    bed.until_released()
    for name, node in bed.nodes.items():
        alarms = [
            event
            for event in node.log.events("link_state", marks[name])
            if event["after"] == "alarm"
        ]
        assert alarms
        assert all(event["level"] == "warning" and event["cause"] for event in alarms)
        for event in node.log.events("block_released", marks[name]):
            assert event["test_qber_ratio"] <= 0.045
        assert node.link().alarms == ()
    for master in ENDS:
        bed.same_keys(master, number=2)
    assert_same_pools(*bed.stores())


@pytest.mark.soak
def test_an_attack_below_the_threshold_is_told_too(bed: Testbed) -> None:
    """Too few errors for the test slices to stop the key, too many for any block: an alarm."""
    bed.until_keying()
    bed.act("attack", fraction=0.055)
    for node in bed.nodes.values():
        until(
            lambda node=node: any("made no key" in alarm for alarm in node.link().alarms),
            f"{node.name} tells that its blocks make no key",
        )
        assert node.log.events("no_key")[-1]["level"] == "warning"
    bed.act("attack", fraction=0.0)
    bed.until_released()
    for node in bed.nodes.values():
        until(lambda node=node: node.link().alarms == (), f"{node.name} has no alarm any more")
    assert_same_pools(*bed.stores())


def test_what_an_operator_sets_is_recorded(bed: Testbed) -> None:
    """Done or declined, each request stands in the node's audit log, and the chain is whole."""
    config = bed.bob.site.config
    assert qkd("devices", "set", config, "epc", "voltages_mv=[120, 0, -80, 0]").returncode == 0
    declined = qkd("devices", "set", config, "epc", "voltages_mv=[9000, 0, 0, 0]")
    assert declined.returncode == 1
    assert "voltages_mv" in declined.stderr
    lines = (bed.bob.directory / "state/audit.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["outcome"].split(":")[0] for record in records] == [
        "asked",
        "done",
        "asked",
        "declined",
    ]
    assert records[2]["user_id"] == os.getuid()
    assert records[2]["device"] == "epc"
    assert records[2]["changes"]["voltages_mv"]["to"] == [9000, 0, 0, 0]
    whole = qkd("audit", "verify", config)
    assert whole.returncode == 0
    assert whole.stdout.startswith("4 lines, whole")


def test_no_key_is_told_anywhere(bed: Testbed) -> None:
    """No drawn key stands in a log, a status or a metric, in any usual writing."""
    bed.same_keys("alice", number=8)
    told = [path.read_text() for path in bed.site.directory.glob("*/node.*")]
    told += [(bed.site.directory / "sim.err").read_text()]
    for node in bed.nodes.values():
        told += [str(node.status()), node.metrics()]
    text = "\n".join(told)
    assert len(bed.drawn) >= 8
    for drawn in bed.drawn:
        for writing in _writings(bytes(drawn.key)):
            assert writing not in text


def test_a_tripped_laser_stays_off(bed: Testbed) -> None:
    """An opened interlock trips the pump; closing it alone re-arms nothing."""
    bed.act("interlock", device="pump", open=True)
    tripped = until(
        lambda: (d := bed.alice.device("pump")) and d.state == "tripped" and d, "the pump trips"
    )
    assert "interlock" in tripped.cause.lower()
    for node in bed.nodes.values():
        until(lambda node=node: node.is_("preparing"), f"{node.name} makes no key")
    assert any("pump tripped" in alarm for alarm in bed.alice.link().alarms)
    assert bed.table()["pair_rate_hz"] == pytest.approx(0, abs=1)

    bed.act("interlock", device="pump", open=False)
    while_(lambda: bed.alice.device("pump").state == "tripped", "the pump stays tripped", for_s=4)
    assert bed.table()["pair_rate_hz"] == pytest.approx(0, abs=1)
    bed.assert_calm()


def _writings(key: bytes) -> list[Any]:
    """A secret in the writings in which it could slip out, and its beginning."""
    return [
        key.hex(),
        key.hex().upper(),
        key[:8].hex(),
        base64.b64encode(key).decode().rstrip("="),
        base64.b64encode(key[:9]).decode(),
        base64.urlsafe_b64encode(key).decode().rstrip("="),
        repr(key)[2:-1],
    ]

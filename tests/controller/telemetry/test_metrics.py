"""Metric names keep to the Prometheus conventions."""

import re

from prometheus_client import generate_latest

from qkd_controller.telemetry.metrics import Metrics

UNITS = ("_seconds", "_bytes", "_ratio", "_hertz", "_celsius", "_total", "_info", "_state", "_up")


def test_names_carry_the_prefix_and_a_base_unit() -> None:
    names = {f.name: f.type for f in Metrics("alice", "0", ["down"]).registry.collect()}
    assert len(names) > 15
    for name, kind in names.items():
        assert re.fullmatch(r"qkd_[a-z_]+", name)
        if kind == "gauge" and name != "qkd_device_reading":
            assert name.endswith(UNITS), name


def test_the_registry_renders() -> None:
    text = generate_latest(Metrics("alice", "0", ["down", "keying"]).registry).decode()
    assert 'qkd_build_info{node="alice",version="0"} 1.0' in text


def test_no_series_tells_when_it_was_created() -> None:
    metrics = Metrics("alice", "0", ["down"])
    metrics.secret.labels("demo").inc(1)
    assert "_created" not in generate_latest(metrics.registry).decode()


def test_slices_are_counted_by_their_totals() -> None:
    metrics = Metrics("alice", "0", ["down"])
    for lost in (2, 2, 5):
        metrics.tell_slices("demo", {"lost": lost, "matched": 7})
    text = generate_latest(metrics.registry).decode()
    assert 'qkd_slices_total{link="demo",outcome="lost"} 5.0' in text
    assert 'qkd_slices_total{link="demo",outcome="matched"} 7.0' in text


def test_a_reading_that_a_device_gives_no_longer_is_exported_no_longer() -> None:
    metrics = Metrics("alice", "0", ["down"])
    metrics.tell_readings("demo", "spd-1", "detector", {"temperature_c": -10.0, "dark_cps": 3.0})
    metrics.tell_readings("demo", "pump", "laser", {"temperature_c": 25.0})
    text = generate_latest(metrics.registry).decode()
    assert 'qkd_detector_temperature_celsius{device="spd-1",link="demo"} -10.0' in text
    assert 'qkd_device_reading{device="spd-1",link="demo",reading="dark_cps"} 3.0' in text
    metrics.tell_readings("demo", "spd-1", "detector", {})
    text = generate_latest(metrics.registry).decode()
    assert "spd-1" not in text
    assert 'qkd_device_reading{device="pump",link="demo",reading="temperature_c"} 25.0' in text

"""Prometheus metrics of one node; rates, ratios and levels, never key material."""

from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)

STAGE_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_DETECTOR_TEMPERATURE = ("detector", "temperature_c")


class Metrics:
    """Every metric of the node, in a registry of its own."""

    def __init__(self, node: str, version: str, link_states: list[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # promtool objects to the _created series
        self.registry = CollectorRegistry()
        registry, link, device = self.registry, ["link"], ["link", "device"]
        self.build = Info("qkd_build", "What runs here", registry=registry)
        self.build.info({"node": node, "version": version})
        self.link_state = Enum(
            "qkd_link_state", "State of the link", link, states=link_states, registry=registry
        )
        self.qber = Gauge(
            "qkd_qber_ratio",
            "Error rate of the latest test slices",
            ["link", "basis"],
            registry=registry,
        )
        self.singles = Gauge(
            "qkd_singles_hertz", "Detection events per second", link, registry=registry
        )
        self.coincidences = Gauge(
            "qkd_coincidences_hertz", "Pairs per second", link, registry=registry
        )
        self.car = Gauge("qkd_coincidences_to_accidentals_ratio", "CAR", link, registry=registry)
        self.clock_offset = Gauge(
            "qkd_clock_offset_seconds", "Peer clock against ours", link, registry=registry
        )
        self.clock_drift = Gauge(
            "qkd_clock_drift_ratio", "Peer clock rate minus one", link, registry=registry
        )
        self.dead_time = Counter(
            "qkd_tagger_dead_seconds_total", "Time between tagger runs", link, registry=registry
        )
        self.slices = Counter(
            "qkd_slices_total",
            "Slices by what became of them",
            ["link", "outcome"],
            registry=registry,
        )
        self._slices_told: Counts[tuple[str, str]] = Counts()
        self.sifted = Counter("qkd_sifted_bytes_total", "Sifted key", link, registry=registry)
        self.leaked = Counter(
            "qkd_error_correction_leaked_bytes_total",
            "Parities and checks disclosed for the key string",
            link,
            registry=registry,
        )
        self.secret = Counter("qkd_secret_key_bytes_total", "Released key", link, registry=registry)
        self.efficiency = Gauge(
            "qkd_error_correction_efficiency_ratio",
            "Leakage over the Shannon limit, f, of the latest block",
            link,
            registry=registry,
        )
        self.blocks = Counter(
            "qkd_blocks_total", "Blocks by outcome", ["link", "outcome"], registry=registry
        )
        self.stage = Histogram(
            "qkd_block_stage_duration_seconds",
            "Time a block spends in a stage",
            ["link", "stage"],
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self.epsilon = Gauge(
            "qkd_accumulated_epsilon_ratio",
            "Sum of the failure probabilities of all released blocks",
            link,
            registry=registry,
        )
        self.pad = Gauge(
            "qkd_authentication_pad_bytes",
            "Authentication pad left",
            ["link", "direction"],
            registry=registry,
        )
        self.store = Gauge(
            "qkd_key_store_bytes", "Key in the buffer", ["link", "half"], registry=registry
        )
        self.delivered = Counter(
            "qkd_delivered_keys_total",
            "Keys handed to applications",
            ["method"],
            registry=registry,
        )
        self.device_up = Gauge(
            "qkd_device_up", "1 while the device is ready", device, registry=registry
        )
        self.detector_temperature = Gauge(
            "qkd_detector_temperature_celsius",
            "As measured; absent while the device gives none",
            device,
            registry=registry,
        )
        self.device_reading = Gauge(
            "qkd_device_reading",
            "Reading in the unit its name tells; absent while the device gives none",
            [*device, "reading"],
            registry=registry,
        )
        self._readings_told: dict[tuple[str, str], set[str]] = {}

    def tell_slices(self, link: str, totals: Mapping[str, int]) -> None:
        """Takes how many slices of a link came to each outcome since the node started."""
        for outcome, total in totals.items():
            self.slices.labels(link, outcome).inc(total - self._slices_told[link, outcome])
            self._slices_told[link, outcome] = total

    def tell_readings(
        self, link: str, device: str, kind: str, readings: Mapping[str, float]
    ) -> None:
        """Takes all readings of a device; those that it gives no longer are exported no longer."""
        before = self._readings_told.get((link, device), set())
        for name, value in readings.items():
            self.device_reading.labels(link, device, name).set(value)
            if (kind, name) == _DETECTOR_TEMPERATURE:
                self.detector_temperature.labels(link, device).set(value)
        for name in before - readings.keys():
            self.device_reading.remove(link, device, name)
            if (kind, name) == _DETECTOR_TEMPERATURE:
                self.detector_temperature.remove(link, device)
        self._readings_told[link, device] = set(readings)

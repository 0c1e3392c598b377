"""The status snapshot of a node, and the gauges that follow it."""

import os
import time

from qkd_controller.keys.contract import Direction
from qkd_controller.keys.pool import PoolStatus
from qkd_controller.node.link_end import LinkRuntime
from qkd_controller.node.status import BlockStatus, LinkStatus
from qkd_controller.telemetry.metrics import Metrics

READINGS_LAST_S = 30.0
"""How long a reading stays in the metrics if no newer one comes."""


class StoredFigures:
    """What the store of one link end says; read now and then, in a thread."""

    def __init__(self, pool: PoolStatus, pad_bytes: tuple[int, int], epsilon: float) -> None:
        self.pool = pool
        self.pad_bytes = pad_bytes
        self.epsilon = epsilon


def pad_left(runtime: LinkRuntime, direction: Direction) -> int:
    """Bytes of pad that are left in one direction."""
    return runtime.store.pad_end(direction) - runtime.store.pad_cursor(direction)


def link_status(runtime: LinkRuntime, stored: StoredFigures) -> LinkStatus:
    """The snapshot of one link end."""
    figures, plan = runtime.figures, runtime.link.block
    reference_hz, announced_hz, pairs_hz, accidentals_hz = figures.rates_hz()
    own_hz, peer_hz = reference_hz, announced_hz
    if runtime.link.roles.time_reference != runtime.own:
        own_hz, peer_hz = peer_hz, own_hz
    records = figures.recent()
    latest = records[-1] if records else None
    qber = figures.qber_ratio()
    collected = runtime.matching.engine.settled_pairs / plan.pairs
    progress = min(collected, 1.0) if figures.stage == "collecting" else 1.0
    counts = runtime.matching.engine.counts
    return LinkStatus(
        name=runtime.link.name,
        peer=runtime.peer,
        state=runtime.machine.state.value,
        cause=runtime.machine.cause,
        since_utc_s=runtime.machine.since_utc_s,
        peer_connected=runtime.connected,
        singles_hz=own_hz,
        peer_singles_hz=peer_hz,
        coincidences_hz=pairs_hz,
        car_ratio=pairs_hz / accidentals_hz if accidentals_hz else None,
        qber_z_ratio=qber["z"],
        qber_x_ratio=qber["x"],
        sifted_bits_per_s=figures.sifted_bits.per_second(),
        secret_bits_per_s=figures.secret_bits.per_second(),
        efficiency_f=figures.efficiency_f,
        clock_offset_ps=latest.offset_ps if latest else None,
        clock_drift_ppm=latest.drift_ppm if latest else None,
        clock_residual_ps=latest.residual_rms_ps if latest else None,
        dead_share_ratio=figures.dead_share_ratio(),
        block=BlockStatus(figures.block, figures.stage, progress),
        blocks_released=figures.released,
        blocks_discarded=dict(figures.discarded),
        slices={
            "matched": counts.matched,
            "test": counts.test,
            "lost": counts.lost,
            "unsafe": counts.unsafe,
            "dropped": counts.dropped,
            "taken": counts.taken,
        },
        own_key_bits=stored.pool.own_bits,
        redeemable_key_bits=stored.pool.redeemable_bits,
        pad_bytes=stored.pad_bytes,
        accumulated_epsilon=stored.epsilon,
        devices=runtime.instruments.status(),
        alarms=runtime.alarms(stored.pad_bytes),
    )


def export(status: LinkStatus, metrics: Metrics) -> None:
    """Sets the gauges of one link from its snapshot."""
    name = status.name
    metrics.singles.labels(name).set(status.singles_hz)
    metrics.coincidences.labels(name).set(status.coincidences_hz)
    for gauge, value in (
        (metrics.car.labels(name), status.car_ratio),
        (metrics.qber.labels(name, "z"), status.qber_z_ratio),
        (metrics.qber.labels(name, "x"), status.qber_x_ratio),
    ):
        gauge.set(float("nan") if value is None else value)
    if status.clock_offset_ps is not None and status.clock_drift_ppm is not None:
        metrics.clock_offset.labels(name).set(status.clock_offset_ps * 1e-12)
        metrics.clock_drift.labels(name).set(status.clock_drift_ppm * 1e-6)
    metrics.tell_slices(name, status.slices)
    metrics.epsilon.labels(name).set(status.accumulated_epsilon)
    metrics.store.labels(name, "own").set(status.own_key_bits / 8)
    metrics.store.labels(name, "redeemable").set(status.redeemable_key_bits / 8)
    for direction in Direction:
        label = direction.name.lower()
        metrics.pad.labels(name, label).set(status.pad_bytes[direction])
    oldest_utc_s = time.time() - READINGS_LAST_S
    for device in status.devices:
        fresh = {
            reading: value
            for reading, (value, _, utc_s) in device.readings.items()
            if utc_s >= oldest_utc_s
        }
        metrics.tell_readings(name, device.name, device.kind, fresh)


def process_figures() -> tuple[int, float]:
    """This process's id and its CPU seconds."""
    return os.getpid(), time.process_time()

"""The sections of a lab file that tell of light, clocks and detectors."""

from typing import Literal

import msgspec

EndName = Literal["alice", "bob"]

ENDS: tuple[EndName, EndName] = ("alice", "bob")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a lab file."""


class Source(Section, frozen=True):
    """A pumped crystal that emits entangled pairs."""

    pairs_per_s_per_a: float = 12.6e6
    threshold_a: float = 0.025
    crystal_optimum_c: float = 45.0
    phase_matching_width_c: float = 1.6
    laser_optimum_c: float = 25.0
    laser_width_c: float = 12.0
    visibility: float = 0.975
    visibility_loss_per_a: float = 0.1


class Fibre(Section, frozen=True):
    """The way to Bob: a rotation of the polarisation that walks at random."""

    rotation_rad: tuple[float, float, float] = (0.55, 0.5, 0.45)
    walk_rad_per_sqrt_s: float = 0.005
    half_wave_voltage_mv: float = 5000.0


class Clock(Section, frozen=True):
    """A tagger's time base: constant error, slow wander, and its late first words."""

    offset_ms: float = 0.0
    error_ppm: float = 0.0
    wander_ppb: float = 5.0
    wander_time_s: float = 60.0
    max_start_latency_ms: float = 20.0


class Detectors(Section, frozen=True):
    """The four detectors of an end."""

    saturated_efficiency: float = 0.58
    rated_dark_cps: float = 300.0
    breakdown_v: float = 180.0
    jitter_ps: float = 350.0
    dead_time_ns: float = 45.0
    afterpulse_probability: float = 0.005
    afterpulse_decay_ns: float = 60.0
    pulses: Literal["nim", "ttl"] = "nim"


class End(Section, frozen=True):
    """One arm with its analyser, detectors and clock."""

    loss_db: float = 2.4
    delay_ns: float = 0.0
    basis_z_probability: float = 0.7
    clock: Clock = Clock()
    detectors: Detectors = Detectors()

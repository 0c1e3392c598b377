"""The sections of a lab file that tell of light, clocks and detectors, and what each may hold."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

EndName = Literal["alice", "bob"]

ENDS: tuple[EndName, EndName] = ("alice", "bob")

Share = Annotated[float, Meta(ge=0, le=1)]
Celsius = Annotated[float, Meta(ge=-273.15, le=1000)]
WidthC = Annotated[float, Meta(ge=0.01, le=1000)]
Decibels = Annotated[float, Meta(ge=0, le=1000)]
Rotation = Annotated[float, Meta(ge=-100, le=100)]
Ppm = Annotated[float, Meta(ge=-1000, le=1000)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a lab file."""


class Source(Section, frozen=True):
    """A pumped crystal that emits entangled pairs."""

    pairs_per_s_per_a: Annotated[float, Meta(gt=0, le=1e8)] = 12.6e6
    threshold_a: Annotated[float, Meta(ge=0, le=100)] = 0.025
    crystal_optimum_c: Celsius = 45.0
    phase_matching_width_c: WidthC = 1.6
    laser_optimum_c: Celsius = 25.0
    laser_width_c: WidthC = 12.0
    visibility: Share = 0.975
    visibility_loss_per_a: Annotated[float, Meta(ge=0, le=100)] = 0.1


class Fibre(Section, frozen=True):
    """The way to Bob: a rotation of the polarisation that walks at random."""

    rotation_rad: tuple[Rotation, Rotation, Rotation] = (0.55, 0.5, 0.45)
    walk_rad_per_sqrt_s: Annotated[float, Meta(ge=0, le=100)] = 0.005
    half_wave_voltage_mv: Annotated[float, Meta(ge=1, le=1e6)] = 5000.0


class Clock(Section, frozen=True):
    """A tagger's time base: constant error, slow wander, and its late first words."""

    offset_ms: Annotated[float, Meta(ge=-1e6, le=1e6)] = 0.0
    error_ppm: Ppm = 0.0
    wander_ppb: Annotated[float, Meta(ge=0, le=1e6)] = 5.0
    wander_time_s: Annotated[float, Meta(ge=1e-3, le=1e9)] = 60.0
    max_start_latency_ms: Annotated[float, Meta(ge=0, le=10_000)] = 20.0


class Detectors(Section, frozen=True):
    """The four detectors of an end."""

    saturated_efficiency: Share = 0.58
    rated_dark_cps: Annotated[float, Meta(ge=0, le=1e6)] = 300.0
    breakdown_v: Annotated[float, Meta(ge=0, le=1000)] = 180.0
    jitter_ps: Annotated[float, Meta(ge=0, le=100_000)] = 350.0
    dead_time_ns: Annotated[float, Meta(ge=0, le=1e6)] = 45.0
    afterpulse_probability: Annotated[float, Meta(ge=0, le=0.5)] = 0.005
    afterpulse_decay_ns: Annotated[float, Meta(ge=0.1, le=1e6)] = 60.0
    pulses: Literal["nim", "ttl"] = "nim"


class End(Section, frozen=True):
    """One arm with its analyser, detectors and clock."""

    loss_db: Decibels = 2.4
    delay_ns: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    basis_z_probability: Share = 0.7
    clock: Clock = Clock()
    detectors: Detectors = Detectors()

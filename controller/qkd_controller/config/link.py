"""The link file: everything that both ends must agree on."""

from typing import Literal

import msgspec


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which node plays which part; set independently of each other."""

    listener: str
    commit_leader: str
    time_reference: str
    bit_reference: str
    """Whose bits are right in even blocks; those of the other end are in odd ones: fair work."""


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tags become coincidences."""

    slice_ms: int = 100
    coincidence_window_ps: int = 3_000
    """Half width: a pair is at most this far apart."""
    announce_resolution_ps: int = 500
    dead_time_ps: int = 60_000
    """At least the longest dead time of any detector of either end."""
    max_offset_ms: int = 100
    max_drift_ppm: float = 20.0
    search_span_ms: int = 500
    """Length of the tag streams that a search for the clock offset looks at."""
    test_slice_every: int = 20
    """Each slice whose index is a multiple of this is a test slice; 0 for none."""


class BlockPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fixed-length protocol: sizes and tolerances set in advance."""

    pairs: int
    """Coincidences a block collects before bases are announced."""
    key_basis: Literal["z", "x"]
    key_bits: int
    """n, the length of the key string."""
    test_bits: int
    """k, the length of the string in the other basis."""
    qber_tolerance_ratio: float
    """Q_tol: a block whose test string shows more errors aborts."""
    leakage_budget_bits: int
    """Leakage of the key string's reconciliation beyond which a block aborts."""
    epsilon_secrecy: float = 1e-10
    epsilon_correctness: float = 1e-15
    pad_refill_bits: int = 2048
    """First bits of each released block, which refill the authentication pool."""
    reconciliation: Literal["auto", "cascade", "ldpc"] = "auto"
    """How the key string is reconciled; auto chooses for each block from QBER, round trip, load."""
    in_flight_mib: int = 256
    """Memory for blocks being distilled at once; at least one is, however large it is."""


class Alignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When polarisation is realigned, and when the link gives up and alarms."""

    start_above_qber_ratio: float = 0.04
    alarm_above_qber_ratio: float = 0.11
    sifted_per_probe: int = 800
    probe_timeout_s: float = 10.0


class LinkFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One link, as both of its ends see it."""

    name: str
    protocol: Literal["bbm92"]
    nodes: tuple[str, str]
    roles: Roles
    block: BlockPlan
    timing: Timing = Timing()
    alignment: Alignment = Alignment()

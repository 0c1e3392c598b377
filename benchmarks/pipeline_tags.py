"""``benchmarks.pipeline --from tags``: two nodes on two cores, from tags to matched pairs."""

import argparse

from benchmarks.pipeline_meter import TLS
from benchmarks.pipeline_pair import NODES, Post, run_pair
from benchmarks.pipeline_table import cells, of_node, share_rows, spent_in
from benchmarks.pipeline_tags_node import Job, Outcome, Recording

from qkd_controller.config.link import BlockPlan, LinkFile, Roles, Timing
from qkd_native.photons import PhotonTable

TIMING = Timing(
    coincidence_window_ps=1_000, announce_resolution_ps=500, dead_time_ps=20_000, search_span_ms=100
)


def measure(plan: BlockPlan, arguments: argparse.Namespace) -> dict[str, Outcome]:
    """One run of a recorded stream through both ends."""
    link = LinkFile("bench", "bbm92", NODES, Roles(*[NODES[0]] * 4), plan, TIMING)

    def job(post: Post) -> Job:
        return Job(post, recording(arguments, arguments.seconds))

    node = "benchmarks.pipeline_tags_node"
    return run_pair(link, 0.0, arguments.state_dir, node, job, Outcome)


def report(outcomes: dict[str, Outcome]) -> str:
    """Rates of the link, then what they cost each node."""
    first = outcomes[NODES[0]]
    megatags = {name: outcome.tags / 1e6 for name, outcome in outcomes.items()}
    every_byte = sum(outcome.sent_bytes for outcome in outcomes.values())
    tls_s = sum(spent_in(outcome.cpu_s, TLS) for outcome in outcomes.values())
    lines = [
        f"{megatags[NODES[0]] / first.span_s:.1f} M tags/s a side over {first.span_s:.1f} s, "
        f"{first.slices} slices, {first.lost} of them lost; "
        f"{first.matched / first.span_s / 1e6:.2f} M pairs/s matched",
        "bytes on the channel: "
        + ", ".join(f"{name} {o.sent_bytes / o.tags:.2f} a tag" for name, o in outcomes.items())
        # Each byte is encrypted once and decrypted once.
        + f"; TLS {every_byte / tls_s / 1e6:.0f} MB a CPU-second, both ends' work together",
        "",
        "| CPU-ms a million tags | " + " | ".join(NODES) + " |",
        "|---|" + "---|" * len(NODES),
    ]
    for key in sorted({key for outcome in outcomes.values() for key in outcome.cpu_s}):
        costs = [1e3 * outcomes[n].cpu_s.get(key, 0.0) / megatags[n] for n in NODES]
        if max(costs) >= 0.05:
            lines.append(f"| {key.replace('/', ', ')} | " + cells(costs, "{:.1f}"))
    whole = [1e3 * of_node(outcomes[n].cpu_s) / megatags[n] for n in NODES]
    lines.append("| all of the node | " + cells(whole, "{:.1f}"))
    lines += share_rows([outcomes[n].cpu_s for n in NODES])
    busy = [sum(outcomes[n].cpu_s.values()) / outcomes[n].span_s for n in NODES]
    lines.append("| core busy | " + cells(busy, "{:.0%}"))
    faults = [outcomes[n].page_faults / megatags[n] for n in NODES]
    lines.append("| page faults a million tags | " + cells(faults, "{:.0f}"))
    for title, field in (("peak RSS", "peak_rss_bytes"), ("recorded tags", "tags_bytes")):
        mib = [getattr(outcomes[n], field) / 2**20 for n in NODES]
        lines.append(f"| {title}, MiB | " + cells(mib, "{:.0f}"))
    return "\n".join(lines)


def recording(arguments: argparse.Namespace, seconds: int) -> Recording:
    """What both ends have recorded."""
    return Recording(_table(arguments.pair_rate_hz, arguments.qber), seconds)


def expected_qber(arguments: argparse.Namespace) -> float:
    """Of matched pairs: the source's, and half of the accidental ones among them."""
    accidentals_a_pair = arguments.pair_rate_hz * 2e-12 * TIMING.coincidence_window_ps
    error_rate: float = arguments.qber + accidentals_a_pair / 2
    return error_rate / (1 + accidentals_a_pair)


def _table(pair_rate_hz: float, qber: float) -> PhotonTable:
    return PhotonTable(
        pair_rate_hz=pair_rate_hz,
        transmission=(0.3, 0.3),
        basis_z_probability=(0.9, 0.9),
        correlation=(1 - 2 * qber, 0.0, 0.0, 1 - 2 * qber),
        efficiency=(0.8,) * 8,
        dark_rate_hz=(1000.0,) * 8,
        jitter_ps=(150.0,) * 8,
        dead_time_ps=(20_000,) * 8,
    )

"""``python -m benchmarks.pipeline``: two nodes on two cores, from matched codes to released key.

``--from tags`` begins with the taggers' words and ends with matched codes, or ``--to key``.

Two processes, one a node and each on a core of its own, joined by TLS 1.3 on loopback; handshake,
session, distillation, authentication and release into SQLite stores are the nodes' own. A relay in
a third process holds bytes back where a round-trip time is asked for.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness, pipeline_tags
from benchmarks.pipeline_key_node import Job as KeyJob
from benchmarks.pipeline_node import Job, Outcome
from benchmarks.pipeline_pair import NODES, Post, run_pair
from benchmarks.pipeline_table import cells, of_node, share_rows

from qkd_controller.config.link import BlockPlan, LinkFile, Roles
from qkd_controller.node.distilling import window_blocks
from qkd_controller.security.bounds import binary_entropy

METHODS = ("cascade", "ldpc")
RUN_S = 10
"""Of recorded tags, which are played again and again."""


@dataclass(frozen=True)
class Run:
    """Both nodes' outcomes at one round-trip time."""

    rtt_ms: float
    plan: BlockPlan
    outcomes: dict[str, Outcome]

    @property
    def span_s(self) -> float:
        releases = self.outcomes[NODES[0]].releases
        return releases[-1].at_s - releases[0].at_s

    def mbit_s(self, what: str) -> float:
        """Over the measured span: the block that opens it belongs to the time before."""
        releases = self.outcomes[NODES[0]].releases[1:]
        return sum(getattr(release, what) for release in releases) / self.span_s / 1e6

    def secret_mbit(self, name: str) -> float:
        return sum(release.secret_bits for release in self.outcomes[name].releases[1:]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--from", dest="begin", choices=("codes", "tags"), default="codes")
    parser.add_argument("--to", choices=("codes", "key"), default="codes", help="with tags")
    parser.add_argument("--pair-rate-hz", type=float, default=2e7, help="of the source, with tags")
    parser.add_argument("--seconds", type=int, default=24, help="of recorded tags")
    parser.add_argument("--qber", type=float, default=0.02)
    parser.add_argument("--pairs", type=int, default=1 << 23, help="of a block")
    parser.add_argument("--z-share", type=float, default=0.9, help="of the bases at both ends")
    parser.add_argument("--method", nargs="+", default=["auto"], choices=("auto", *METHODS))
    parser.add_argument("--rtt-ms", type=float, nargs="+", default=[0.0, 10.0, 100.0])
    parser.add_argument("--window-mib", type=int, default=600, help="for blocks in flight, an end")
    parser.add_argument("--windows", type=int, default=3, help="measured at each round trip")
    parser.add_argument("--state-dir", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--plot", type=Path, help="a PNG or SVG of key rate over round-trip time")
    arguments = parser.parse_args()
    plans = {method: block_plan(method, arguments) for method in arguments.method}
    plan = plans[arguments.method[0]]
    print(harness.machine(), end="\n\n")
    if arguments.begin == "tags" and arguments.to == "codes":
        print(pipeline_tags.report(pipeline_tags.measure(plan, arguments)))
        return
    print(
        f"blocks of {plan.pairs} pairs, n = {plan.key_bits}, k = {plan.test_bits}, "
        f"{window_blocks(plan)} in flight in {plan.in_flight_mib} MiB an end; "
        f"stores in {arguments.state_dir}\n"
    )
    runs = []
    for method, planned in plans.items():
        for rtt_ms in arguments.rtt_ms:
            runs.append(measure(planned, rtt_ms, arguments))
            print(f"{method}, round-trip time {rtt_ms:g} ms\n\n{report(runs[-1])}\n", flush=True)
    if arguments.plot:
        draw(runs, arguments.plot)


def block_plan(method: str, arguments: argparse.Namespace) -> BlockPlan:
    """Key from z, as long as all blocks but one in a million have it; x is the test."""
    pairs, qber, z_share = arguments.pairs, _expected_qber(arguments), arguments.z_share

    def surely(share: float) -> int:
        return int(pairs * share - 5 * (pairs * share * (1 - share)) ** 0.5)

    key_bits, test_bits = surely(z_share**2), surely((1 - z_share) ** 2)
    return BlockPlan(
        pairs=pairs,
        key_basis="z",
        key_bits=key_bits,
        test_bits=test_bits,
        qber_tolerance_ratio=round(qber + 5 * (qber / test_bits) ** 0.5, 4),
        leakage_budget_bits=int(1.25 * key_bits * binary_entropy(qber)),
        reconciliation=method,
        in_flight_mib=arguments.window_mib,
    )


def _expected_qber(arguments: argparse.Namespace) -> float:
    if arguments.begin == "tags":
        return pipeline_tags.expected_qber(arguments)
    return float(arguments.qber)


def measure(plan: BlockPlan, rtt_ms: float, arguments: argparse.Namespace) -> Run:
    """One run from two new stores."""
    link = LinkFile("bench", "bbm92", NODES, Roles(*[NODES[0]] * 4), plan, pipeline_tags.TIMING)
    # Blocks in flight move in step and are released in bursts: only whole windows are even.
    window, qber = window_blocks(plan), _expected_qber(arguments)
    blocks = (window + 1, arguments.windows * window)

    def from_codes(post: Post) -> Job:
        return Job(post, qber, *blocks, arguments.z_share)

    def from_tags(post: Post) -> KeyJob:
        return KeyJob(post, qber, *blocks, pipeline_tags.recording(arguments, RUN_S))

    tags = arguments.begin == "tags"
    node = "benchmarks.pipeline_key_node" if tags else "benchmarks.pipeline_node"
    job = from_tags if tags else from_codes
    return Run(rtt_ms, plan, run_pair(link, rtt_ms, arguments.state_dir, node, job, Outcome))


def report(run: Run) -> str:
    """Rates of the link, then what they cost each node."""
    releases = run.outcomes[NODES[0]].releases[1:]
    key_bits = sum(release.key_bits for release in releases)
    efficiency = sum(r.leaked_bits for r in releases) / key_bits
    lines = [
        f"sifted {run.mbit_s('sifted_bits'):.1f} Mbit/s, key string "
        f"{run.mbit_s('key_bits'):.1f} Mbit/s, secret {run.mbit_s('secret_bits'):.1f} Mbit/s "
        f"over {run.span_s:.1f} s and {len(releases)} blocks; leakage {efficiency:.4f} a bit, "
        f"{sum(r.rounds for r in releases) / len(releases):.0f} rounds",
        *_tags_taken(run),
        "",
        "| CPU-ms a secret Mbit | " + " | ".join(NODES) + " |",
        "|---|" + "---|" * len(NODES),
    ]
    keys = sorted({key for outcome in run.outcomes.values() for key in outcome.cpu_s})
    for key in keys:
        costs = [1e3 * run.outcomes[n].cpu_s.get(key, 0.0) / run.secret_mbit(n) for n in NODES]
        if max(costs) >= 0.005:
            lines.append(f"| {key.replace('/', ', ')} | " + cells(costs, "{:.2f}"))
    totals = {name: of_node(run.outcomes[name].cpu_s) for name in NODES}
    whole = [1e3 * totals[name] / run.secret_mbit(name) for name in NODES]
    lines.append("| all of the node | " + cells(whole, "{:.2f}"))
    lines += share_rows([run.outcomes[name].cpu_s for name in NODES])
    kernel = [run.outcomes[n].kernel_s / totals[n] for n in NODES]
    lines.append("| of all, in the system's kernel | " + cells(kernel, "{:.1%}"))
    busy = [sum(run.outcomes[n].cpu_s.values()) / run.span_s for n in NODES]
    lines.append("| core busy | " + cells(busy, "{:.0%}"))
    rss = [run.outcomes[n].peak_rss_bytes / 2**20 for n in NODES]
    lines.append("| peak RSS, MiB | " + cells(rss, "{:.0f}"))
    made_up = [run.outcomes[n].made_up_bytes / 2**20 for n in NODES]
    lines.append("| of it the benchmark's codes or tags, MiB | " + cells(made_up, "{:.0f}"))
    discarded = [len(run.outcomes[n].discarded) for n in NODES]
    lines.append("| blocks discarded | " + cells(discarded, "{}"))
    return "\n".join(lines)


def _tags_taken(run: Run) -> list[str]:
    rates = [(name, run.outcomes[name].tags / run.span_s / 1e6) for name in NODES]
    if not any(rate for _, rate in rates):
        return []
    return ["tags taken: " + ", ".join(f"{name} {rate:.1f} M/s" for name, rate in rates)]


def draw(runs: list[Run], path: Path) -> None:
    """Key rate over round-trip time, a line for each method."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for method in dict.fromkeys(run.plan.reconciliation for run in runs):
        points = [
            (run.rtt_ms, run.mbit_s("secret_bits"))
            for run in runs
            if run.plan.reconciliation == method
        ]
        axes.plot(*zip(*points, strict=True), "o-", label=method)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("round-trip time, ms")
    axes.set_ylabel("secret Mbit/s")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

"""What the tables of both pipeline benchmarks are made of."""

from benchmarks.pipeline_meter import BENCHMARK, NATIVE, TLS


def spent_in(cpu_s: dict[str, float], category: str) -> float:
    """Of CPU seconds by "stage/category", as Meter.snapshot() gives them, those of a category."""
    return sum(spent for key, spent in cpu_s.items() if key.endswith("/" + category))


def of_node(cpu_s: dict[str, float]) -> float:
    """CPU seconds but for those of measuring and making up."""
    return sum(cpu_s.values()) - spent_in(cpu_s, BENCHMARK)


def share_rows(nodes: list[dict[str, float]]) -> list[str]:
    """What of each node's CPU seconds is in ``native``, in TLS, and in neither."""
    shares = {
        category: [spent_in(cpu_s, category) / of_node(cpu_s) for cpu_s in nodes]
        for category in (NATIVE, TLS)
    }
    shares["neither"] = [1 - native - tls for native, tls in zip(*shares.values(), strict=True)]
    return [f"| share in {title} | " + cells(part, "{:.1%}") for title, part in shares.items()]


def cells(values: list[float], form: str) -> str:
    """The rest of a row, a value a node."""
    return " | ".join(form.format(value) for value in values) + " |"

"""What the tables of both pipeline benchmarks are made of."""


def spent_in(cpu_s: dict[str, float], category: str) -> float:
    """Of CPU seconds by "stage/category", as Meter.snapshot() gives them, those of a category."""
    return sum(spent for key, spent in cpu_s.items() if key.endswith("/" + category))


def cells(values: list[float], form: str) -> str:
    """The rest of a row, a value a node."""
    return " | ".join(form.format(value) for value in values) + " |"

"""``python -m benchmarks [family ...]``: one table of every family, or of those named."""

import argparse
import importlib
from pathlib import Path

from benchmarks import harness

_NO_FAMILY = ("__", "harness", "pipeline", "streams")
"""How the names of the other modules here begin."""


def families() -> list[str]:
    """The modules here that have a function ``cases()``."""
    here = Path(__file__).parent
    return sorted(p.stem for p in here.glob("*.py") if not p.stem.startswith(_NO_FAMILY))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("family", nargs="*", help=f"of {', '.join(families())}")
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    arguments = parser.parse_args()
    unknown = set(arguments.family) - set(families())
    if unknown:
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    harness.pin()
    rows: list[harness.Row] = []
    for family in arguments.family or families():
        for case in importlib.import_module(f"benchmarks.{family}").cases():
            rows += harness.measure(case, arguments.rounds)
    print(harness.machine(), end="\n\n")
    print(harness.table(rows))


if __name__ == "__main__":
    main()

"""``python -m benchmarks [family ...]``: one table of every family, or of those named."""

import argparse
import importlib
from pathlib import Path

from benchmarks import harness

_NO_FAMILY = {
    "__main__",
    "harness",
    "pipeline",
    "pipeline_delay",
    "pipeline_meter",
    "pipeline_node",
    "streams",
}


def main() -> None:
    here = Path(__file__).parent
    families = sorted(p.stem for p in here.glob("*.py") if p.stem not in _NO_FAMILY)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("family", nargs="*", help=f"of {', '.join(families) or 'none yet'}")
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    arguments = parser.parse_args()
    unknown = set(arguments.family) - set(families)
    if unknown:
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    harness.pin()
    rows: list[harness.Row] = []
    for family in arguments.family or families:
        for case in importlib.import_module(f"benchmarks.{family}").cases():
            rows += harness.measure(case, arguments.rounds)
    print(harness.machine(), end="\n\n")
    print(harness.table(rows))


if __name__ == "__main__":
    main()

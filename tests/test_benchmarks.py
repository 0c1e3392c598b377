"""The benchmarks: what `make bench` runs is there to be run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_family_of_the_table_has_cases() -> None:
    script = (
        "import importlib; from benchmarks.__main__ import families;"
        "print(*(name for name in families()"
        " if callable(importlib.import_module('benchmarks.' + name).cases)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"cascade", "decode", "gf2x", "ldpc", "matching"} <= set(ran.stdout.split())

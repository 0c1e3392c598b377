"""The benchmarks: what `make bench` runs is there to be run, and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("failing", "how", "told"),
    [
        ("alice", "sys.exit(7)", "alice ended with status 7"),
        ("bob", "sys.exit(7)", "bob ended with status 7"),
        ("bob", "os.kill(os.getpid(), 9)", "bob was killed by SIGKILL"),
    ],
)
def test_a_pair_ends_with_the_first_of_its_nodes_that_fails(
    tmp_path: Path, failing: str, how: str, told: str
) -> None:
    """The other one would wait for ever."""
    (tmp_path / "node.py").write_text(
        "import json, os, sys, time\n"
        f"if json.load(sys.stdin)['name'] == {failing!r}: {how}\n"
        "time.sleep(60)\n"
    )
    script = (
        "import pathlib, link_ends; from benchmarks.pipeline_pair import run_pair, Post;"
        f"run_pair(link_ends.link_file(), 0.0, pathlib.Path({str(tmp_path)!r}), 'node',"
        " lambda post: post, Post)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'tests/support'}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.strip() == told

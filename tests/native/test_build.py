"""The build: no instruction set is assumed, and each version can be chosen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qkd_native.tier import Tier, supported

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("tier", supported())
def test_a_process_runs_the_version_that_it_is_told(tier: Tier) -> None:
    name = tier.name.lower()
    script = (
        "from qkd_native.tier import current; from qkd_native.mac import poly_hash;"
        "print(current().name.lower(), poly_hash(bytes(range(16)), bytes(1000)).hex())"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "QKD_KERNELS": kernels},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for kernels in ("portable", name)
    ]
    assert [ran for ran, _ in answers] == ["portable", name]
    assert answers[0][1] == answers[1][1]


def test_only_files_of_an_instruction_set_are_compiled_for_one() -> None:
    build = (ROOT / "native" / "CMakeLists.txt").read_text()
    assert "-march" not in build
    assert "-mtune" not in build
    sources = list((ROOT / "native" / "csrc").glob("*.[ch]"))
    plain = [s for s in sources if s.suffix == ".c" and not s.stem.endswith(("_avx2", "_avx512"))]
    assert plain
    for source in plain:
        assert "immintrin.h" not in source.read_text(), source.name
    for source in sources:
        assert "target(" not in source.read_text(), f"{source.name}: the name chooses the flags"

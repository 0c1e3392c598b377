"""The kernels against known answers that C reads too, in every tier."""

import json
from pathlib import Path

import pytest

import vectors
from qkd_native.tier import Tier, forced, supported


@pytest.mark.parametrize("tier", supported())
@pytest.mark.parametrize("path", vectors.files(), ids=lambda path: path.stem)
def test_every_case_has_its_answer(path: Path, tier: Tier) -> None:
    whole = json.loads(path.read_text())
    assert whole["family"] == path.stem
    assert whole["cases"]
    with forced(tier):
        for case in whole["cases"]:
            answers = vectors.run(path.stem, case)
            assert answers == {name: case[name] for name in answers}, case

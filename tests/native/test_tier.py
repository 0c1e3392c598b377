"""The choice of kernels can be capped and forced, and says what it cannot do."""

import os
import subprocess
import sys

from qkd_native.tier import Tier, current, forced, name, supported

ASK = "from qkd_native.tier import current; print(current().name)"


def test_the_best_tier_runs_unless_another_is_forced() -> None:
    assert supported()[0] is Tier.PORTABLE
    before = current()
    with forced(Tier.PORTABLE):
        assert current() is Tier.PORTABLE
        assert name() == "portable"
    assert current() is before


def test_the_environment_caps_the_choice() -> None:
    run = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "QKD_KERNELS": "portable"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "PORTABLE"


def test_an_unknown_choice_is_refused() -> None:
    run = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "QKD_KERNELS": "mmx"},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "known are portable, avx2, avx512" in run.stderr

"""Which tests play a driver against its simulated instrument with commands at random."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

CONTRACT = Path(__file__).parents[1] / "drivers" / "contract"


def agreement(*models: str) -> Callable[[Any], Any]:
    """Of a Hypothesis test, to which it gives each ``model``: afterwards driver and core agree."""

    def mark(test: Any) -> Any:
        test = pytest.mark.parametrize("model", models)(test)
        test.agreement = models
        return test

    return mark


def agreeing_models() -> set[str]:
    """Every model that such a test of the contract suite takes."""
    found: set[str] = set()
    for path in CONTRACT.glob("test_*.py"):
        spec = spec_from_file_location(f"agreement.{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        for test in vars(module).values():
            if getattr(test, "is_hypothesis_test", False):
                found.update(getattr(test, "agreement", ()))
    return found

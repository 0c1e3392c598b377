"""Whole links in real processes; one bring-up serves all the tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed import Testbed, set_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder runs real processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)
            # Deadlines of their own tell more than this one, which is for a test gone astray.
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A running link that has made its first block."""
    with set_up(tmp_path_factory.mktemp("link")) as bed:
        bed.start()
        bed.until_keying()
        bed.until_released()
        yield bed


@pytest.fixture
def cold_bed(tmp_path: Path) -> Iterator[Testbed]:
    """A link that is set up and not started."""
    with set_up(tmp_path) as bed:
        yield bed

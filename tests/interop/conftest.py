"""Public drivers of others, run against the simulated instruments; each is skipped where absent.

They come with the extra ``interop``: ``pip install '.[interop]'``.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bench import Bench, running_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running_bench(tmp_path) as bench:
        yield bench

"""Two link ends in one process, for tests that are imported apart from each other."""

from dataclasses import replace
from types import SimpleNamespace

import link_ends as ends
import pytest

from qkd_controller.link.durable import DurableStore


@pytest.fixture
def bench() -> SimpleNamespace:
    """Everything that two ends need."""
    return SimpleNamespace(
        Note=ends.Note,
        Seed=ends.Seed,
        BlockBegun=ends.BlockBegun,
        CODEC=ends.CODEC,
        TIMING=ends.TIMING,
        secret=ends.secret,
        pairing_keys=ends.pairing_keys,
        link_file=ends.link_file,
        MemoryStore=ends.MemoryStore,
        MemoryPipe=ends.MemoryPipe,
        DurableStore=DurableStore,
        inline=ends.inline,
        open_session=ends.open_session,
        both=ends.both,
        replace=replace,
    )


@pytest.fixture
def stores(bench: SimpleNamespace) -> tuple[ends.MemoryStore, ends.MemoryStore]:
    """Of two ends that have said nothing yet."""
    return bench.MemoryStore(), bench.MemoryStore()

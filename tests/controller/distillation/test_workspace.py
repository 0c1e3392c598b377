"""Memory that is lent: large enough, nobody else's meanwhile, wiped when it comes back, bounded."""

import asyncio
import contextlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_controller.distillation.workspace import Workspace


async def test_what_comes_back_is_wiped_and_lent_again() -> None:
    workspace = Workspace(1 << 20)
    async with workspace.lent(1000) as first:
        assert first.shape == (1000,) and first.dtype == np.uint64
        first.fill(7)
    assert not first.any() and workspace.spare_bytes == 8000
    async with workspace.lent(900) as second:
        assert np.shares_memory(first, second) and second.shape == (900,)
        assert workspace.spare_bytes == 0
        async with workspace.lent(900) as third:
            assert not np.shares_memory(second, third)


async def test_the_smallest_that_fits_is_lent_and_none_of_twice_the_size() -> None:
    workspace = Workspace(1 << 20)
    async with workspace.lent(3000) as large, workspace.lent(1200) as small:
        pass
    async with workspace.lent(1100) as lent:
        assert np.shares_memory(lent, small)
        async with workspace.lent(1100) as other:
            assert not np.shares_memory(other, large)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.sampled_from(["lend", "beside", "return"]))),
    st.integers(0, 8000),
)
async def test_what_is_kept_leaves_room_for_what_is_used(
    steps: list[tuple[int, str]], limit_bytes: int
) -> None:
    workspace = Workspace(limit_bytes)
    held: list[contextlib.AsyncExitStack] = []
    for words, step in steps:
        if step == "return":
            if held:
                await held.pop(words % len(held)).aclose()
        else:
            held.append(contextlib.AsyncExitStack())
            if step == "lend":
                await held[-1].enter_async_context(workspace.lent(words))
            else:
                held[-1].enter_context(workspace.beside(8 * words))
        assert workspace.used_bytes + workspace.spare_bytes <= max(
            limit_bytes, workspace.used_bytes
        )
    for each in held:
        await each.aclose()
    assert workspace.used_bytes == 0


async def test_room_is_made_before_memory_is_taken() -> None:
    """So that both never stand side by side, however briefly."""
    workspace = Workspace(1 << 20)
    tracemalloc.start()
    try:
        for words in (100_000, 40_000, 120_000):
            async with workspace.lent(words) as memory:
                memory.fill(7)
            del memory
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < (1 << 20) + 40_000


async def test_memory_comes_back_wiped_from_who_fails_or_is_cancelled() -> None:
    workspace = Workspace(1 << 30)
    borrowed: list[np.ndarray] = []

    async def borrow(words: int) -> None:
        async with workspace.lent(words) as memory:
            memory.fill(7)
            borrowed.append(memory)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(borrow(words)) for words in (100, 1 << 22)]
    while len(borrowed) < 2:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    with pytest.raises(KeyError):
        async with workspace.lent(300) as memory:
            memory.fill(7)
            borrowed.append(memory)
            raise KeyError
    assert not any(memory.any() for memory in borrowed)
    assert workspace.spare_bytes == 8 * (100 + (1 << 22) + 300)

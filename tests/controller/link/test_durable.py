"""Writes are never abandoned half-way, and never made for a session that is over."""

import asyncio
import threading

import pytest

from qkd_controller.link.durable import DurableStore, finish
from qkd_controller.link.errors import LinkError


async def test_cancelled_work_is_seen_through_before_the_cancellation():
    go, done = asyncio.Event(), []

    async def work():
        await go.wait()
        done.append(True)

    task = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done


async def test_a_failure_of_work_reaches_the_caller():
    async def work():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await finish(work())


async def test_a_new_lease_waits_for_the_last_write_of_the_old_one():
    started, go, written = threading.Event(), threading.Event(), []

    def slow(_):
        started.set()
        go.wait(5)
        written.append(True)

    store = DurableStore(object(), asyncio.to_thread)
    old = await store.lease()
    writing = asyncio.create_task(old.call(slow))
    await asyncio.to_thread(started.wait, 5)
    writing.cancel()
    renewal = asyncio.create_task(store.lease())
    await asyncio.sleep(0)
    assert not renewal.done()
    go.set()
    await renewal
    assert written
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_an_old_lease_writes_no_more():
    store = DurableStore(object(), asyncio.to_thread)
    old = await store.lease()
    new = await store.lease()
    with pytest.raises(LinkError, match="newer session"):
        await old.call(lambda _: pytest.fail("written for a session that is over"))
    assert await new.call(lambda _: 7) == 7
    assert await store.read(lambda _: 8) == 8

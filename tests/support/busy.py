"""An event loop whose own threads are all taken, as by slow kernels."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager


@asynccontextmanager
async def busy_threads() -> AsyncIterator[None]:
    """Inside, asyncio.to_thread() runs nothing; all that waited is run at the end."""
    loop, go = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    held = loop.run_in_executor(None, go.wait, 60)
    try:
        yield
    finally:
        go.set()
        await held

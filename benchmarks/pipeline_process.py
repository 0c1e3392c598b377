"""A node's process in the pipeline benchmarks: a job in, sessions with the peer, an outcome out."""

import asyncio
import os
import resource
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import msgspec
from benchmarks.pipeline_meter import Meter
from benchmarks.pipeline_pair import Post

from qkd_controller.link.connection import ConnectionState, LinkEndpoint, maintain
from qkd_controller.link.endpoint import OnSession


class Job(Protocol):
    """What a node is to do, and where."""

    post: Post


J = TypeVar("J", bound=Job)


def run(kind: type[J], work: Callable[[J, Meter], Coroutine[Any, Any, msgspec.Struct]]) -> None:
    """Reads the job, does it on the core of its post, metered, and writes the outcome."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    os.sched_setaffinity(0, {job.post.core})
    meter = Meter()
    meter.install()
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(work(job, meter))))


async def serve(end: LinkEndpoint, on_session: OnSession, enough: asyncio.Event) -> None:
    """Keeps sessions with the peer until it is enough; raises what makes that impossible."""

    def on_state(state: ConnectionState, cause: str) -> None:
        if cause:
            print(f"{end.terms.own}: {state.value}: {cause}", file=sys.stderr)

    serving = asyncio.create_task(maintain(end, on_session, on_state, ignore))
    done = asyncio.create_task(enough.wait())
    await asyncio.wait({serving, done}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    done.cancel()
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()


def peak_rss_bytes() -> int:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ignore(*_: object) -> None:
    """Nobody listens."""

"""The status snapshot is served on a private socket, to one node at a time."""

import asyncio
import stat
import time
from pathlib import Path

import pytest

from qkd_controller.node.status import (
    NodeStatus,
    StatusUnavailable,
    read_status,
    serve_status,
)


def snapshot() -> NodeStatus:
    return NodeStatus(
        node="alice",
        version="0",
        utc_s=time.time(),
        started_utc_s=0.0,
        process_id=1,
        cpu_s=0.5,
        delivery_address="127.0.0.1:1",
        keys_delivered=0,
        links=(),
        events=[{"event": "x" * 100_000}],
    )


async def test_the_snapshot_arrives_whole_and_only_for_this_user(tmp_path: Path) -> None:
    path = tmp_path / "private" / "status.sock"
    async with serve_status(path, snapshot):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        status = await read_status(path)
        assert status.node == "alice"
        assert status.events == snapshot().events
    assert not path.exists()


async def test_a_second_node_is_refused_and_a_dead_ones_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    async with serve_status(path, snapshot):
        with pytest.raises(StatusUnavailable, match="already serves"):
            async with serve_status(path, snapshot):
                pass
        assert (await read_status(path)).node == "alice"
    dead = await asyncio.start_unix_server(lambda r, w: None, str(path))
    dead.close()
    assert path.is_socket()
    async with serve_status(path, snapshot):
        assert (await read_status(path)).node == "alice"


async def test_no_node_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StatusUnavailable, match=r"is `qkd node` running\?"):
        await read_status(tmp_path / "status.sock")

"""The operator's socket is private, serves one node, and says what it declines."""

import asyncio
import stat
import time
from pathlib import Path

import pytest

from qkd_controller.node.operator import (
    RequestDeclined,
    StatusUnavailable,
    read_status,
    rearm_device,
    serve_operator,
)
from qkd_controller.node.status import NodeStatus


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


def decline(device: str) -> None:
    raise RequestDeclined(f"{device} is ready, not tripped")


async def test_the_snapshot_arrives_whole_and_only_for_this_user(tmp_path: Path) -> None:
    path = tmp_path / "private" / "status.sock"
    async with serve_operator(path, snapshot, decline):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        status = await read_status(path)
        assert status.node == "alice"
        assert status.events == snapshot().events
    assert not path.exists()


async def test_a_second_node_is_refused_and_a_dead_ones_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    async with serve_operator(path, snapshot, decline):
        with pytest.raises(StatusUnavailable, match="already serves"):
            async with serve_operator(path, snapshot, decline):
                pass
        assert (await read_status(path)).node == "alice"
    dead = await asyncio.start_unix_server(lambda r, w: None, str(path))
    dead.close()
    assert path.is_socket()
    async with serve_operator(path, snapshot, decline):
        assert (await read_status(path)).node == "alice"


async def test_no_node_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StatusUnavailable, match=r"is `qkd node` running\?"):
        await read_status(tmp_path / "status.sock")


async def test_a_device_is_rearmed_by_name_or_the_reason_is_told(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    rearmed: list[str] = []
    async with serve_operator(path, snapshot, rearmed.append):
        await rearm_device(path, "pump")
    assert rearmed == ["pump"]
    async with serve_operator(path, snapshot, decline):
        with pytest.raises(RequestDeclined, match="pump is ready, not tripped"):
            await rearm_device(path, "pump")


@pytest.mark.parametrize("line", [b"hello\n", b'{"type":"reboot"}\n', b"\xff" * 9000 + b"\n"])
async def test_a_request_that_is_none_harms_nobody(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "status.sock"
    async with serve_operator(path, snapshot, decline):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(line)
        await reader.read(-1)
        writer.close()
        assert (await read_status(path)).node == "alice"

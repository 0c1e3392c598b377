"""The operator's socket is private, serves one node, and says what it declines."""

import asyncio
import contextlib
import os
import socket
import stat
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from qkd_controller.node import operator
from qkd_controller.node.operator import (
    LARGEST_ENTRY_BYTES,
    Done,
    Kept,
    RequestDeclined,
    StatusUnavailable,
    serve_operator,
)
from qkd_controller.node.operator_client import (
    read_status,
    rearm_device,
    set_device,
    trace_device,
)
from qkd_controller.node.status import NodeStatus
from qkd_drivers.framing import Trace, TraceEntry, TraceSwitch


def snapshot() -> NodeStatus:
    return NodeStatus(
        node="alice",
        version="0",
        utc_s=time.time(),
        started_utc_s=0.0,
        process_id=1,
        cpu_s=0.5,
        tasks=20,
        delivery_address="127.0.0.1:1",
        keys_delivered=0,
        links=(),
        events=[{"event": "x" * 100_000}],
    )


class Ready:
    """A node whose one device, the pump, takes every request."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.switch = TraceSwitch()

    def status(self) -> NodeStatus:
        return snapshot()

    async def rearm(self, device: str, user_id: int) -> None:
        self.asked.append((device, user_id))

    async def set(self, device: str, changes: dict[str, Any], user_id: int) -> Done | Kept:
        self.asked.append((device, changes, user_id))
        return Kept("pump is away") if device == "pump" else Done()

    def trace(self, device: str, sink: Trace) -> AbstractContextManager[None]:
        return self.switch.to(sink)


class Declining(Ready):
    """A node that declines whatever it may."""

    async def rearm(self, device: str, user_id: int) -> None:
        raise RequestDeclined(f"{device} is ready, not tripped")

    async def set(self, device: str, changes: dict[str, Any], user_id: int) -> Done | Kept:
        raise RequestDeclined(f"{device} has no {', '.join(changes)}")

    def trace(self, device: str, sink: Trace) -> AbstractContextManager[None]:
        raise RequestDeclined(f"there is no device {device}")


async def test_the_snapshot_arrives_whole_and_only_for_this_user(tmp_path: Path) -> None:
    path = tmp_path / "private" / "status.sock"
    async with serve_operator(path, Declining()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        status = await read_status(path)
        assert status.node == "alice"
        assert status.events == snapshot().events
    assert not path.exists()


async def test_a_second_node_is_refused_and_a_dead_ones_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    async with serve_operator(path, Declining()):
        with pytest.raises(StatusUnavailable, match="already serves"):
            async with serve_operator(path, Declining()):
                pass
        assert (await read_status(path)).node == "alice"
    dead = await asyncio.start_unix_server(lambda r, w: None, str(path))
    dead.close()
    assert path.is_socket()
    async with serve_operator(path, Declining()):
        assert (await read_status(path)).node == "alice"


async def test_no_node_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StatusUnavailable, match=r"is `qkd node` running\?"):
        await read_status(tmp_path / "status.sock")


async def test_a_device_is_rearmed_by_name_or_the_reason_is_told(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    node = Ready()
    async with serve_operator(path, node):
        await rearm_device(path, "pump")
    assert node.asked == [("pump", os.getuid())]
    async with serve_operator(path, Declining()):
        with pytest.raises(RequestDeclined, match="pump is ready, not tripped"):
            await rearm_device(path, "pump")


async def test_set_points_reach_the_device_with_who_asked(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    node = Ready()
    async with serve_operator(path, node):
        assert await set_device(path, "oven", {"temperature_c": 45}) == ""
        assert await set_device(path, "pump", {"current_a": 0.05}) == "pump is away"
    assert node.asked == [
        ("oven", {"temperature_c": 45}, os.getuid()),
        ("pump", {"current_a": 0.05}, os.getuid()),
    ]
    async with serve_operator(path, Declining()):
        with pytest.raises(RequestDeclined, match="pump has no colour"):
            await set_device(path, "pump", {"colour": "blue"})


class Slow(Ready):
    """A node whose device takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.there = asyncio.Event(), asyncio.Event()
        self.ended = ""

    async def set(self, device: str, changes: dict[str, Any], user_id: int) -> Done | Kept:
        self.begun.set()
        try:
            await self.there.wait()
            self.ended = "there"
            return Done()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def test_a_device_may_take_longer_than_a_node_may_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node tells that it goes on; nobody sees a time-out for what works."""
    monkeypatch.setattr(operator, "WORKING_EVERY_S", 0.02)
    node, heard = Slow(), asyncio.Semaphore(0)
    async with serve_operator(tmp_path / "status.sock", node), asyncio.TaskGroup() as group:
        setting = group.create_task(
            set_device(tmp_path / "status.sock", "oven", {}, heard.release, timeout_s=1.0)
        )
        for _ in range(60):  # longer than timeout_s in all
            await heard.acquire()
        assert not setting.done()
        node.there.set()


async def test_whoever_hangs_up_does_not_stop_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "WORKING_EVERY_S", 0.01)
    node = Slow()
    async with serve_operator(tmp_path / "status.sock", node):
        setting = asyncio.ensure_future(set_device(tmp_path / "status.sock", "oven", {}))
        await node.begun.wait()
        setting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await setting
        assert (await read_status(tmp_path / "status.sock")).node == "alice"
        node.there.set()
        async with asyncio.timeout(5):
            while not node.ended:
                await asyncio.sleep(0)
    assert node.ended == "there"


async def test_a_node_that_ends_gives_up_what_is_under_way_without_a_complaint(
    tmp_path: Path,
) -> None:
    """A change and a trace; both askers are told, and asyncio has nothing to report."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: complaints.append(told))
    path = tmp_path / "status.sock"
    node = Slow()
    async with serve_operator(path, node):
        tracing = asyncio.ensure_future(anext(trace_device(path, "pump")))
        setting = asyncio.ensure_future(set_device(path, "oven", {}))
        await node.begun.wait()
        async with asyncio.timeout(5):
            while not node.switch.on:
                await asyncio.sleep(0)
    assert node.ended == "cancelled" and not node.switch.on
    for asked in (tracing, setting):
        with pytest.raises(StatusUnavailable, match="hung up"):
            await asked
    assert complaints == []


async def test_a_node_that_says_nothing_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        with pytest.raises(StatusUnavailable, match=r"\(Connection refused\); is `qkd node` runn"):
            await read_status(path)
        mute.listen()
        with pytest.raises(StatusUnavailable, match=r"said nothing for 0\.05 s: it is stopped"):
            await read_status(path, 0.05)
    with pytest.raises(StatusUnavailable, match=r"\(AF_UNIX path too long\)"):
        await read_status(tmp_path / ("a" * 120))


async def test_a_socket_of_another_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "open_unix_connection", forbidden)
    with pytest.raises(StatusUnavailable, match="is for the user that runs the node: be that"):
        await read_status(tmp_path / "status.sock")


async def test_a_request_that_is_too_long_is_declined(tmp_path: Path) -> None:
    async with serve_operator(tmp_path / "status.sock", Ready()):
        with pytest.raises(RequestDeclined, match="a request has at most 4096 bytes"):
            await set_device(tmp_path / "status.sock", "pump", {"level": "x" * 9000})


async def test_a_trace_tells_what_comes_while_it_lasts_and_ends_with_its_reader(
    tmp_path: Path,
) -> None:
    path = tmp_path / "status.sock"
    node = Ready()
    long = bytes(LARGEST_ENTRY_BYTES + 1)
    async with serve_operator(path, node):
        async with contextlib.aclosing(trace_device(path, "pump")) as entries:
            first = asyncio.ensure_future(anext(entries))
            async with asyncio.timeout(5):
                while not node.switch.on:
                    await asyncio.sleep(0)
            node.switch(TraceEntry(1.0, "pump", ">", b"*IDN?\n"))
            assert (await first).data == b"*IDN?\n"
            node.switch(TraceEntry(2.0, "pump", "<", long))
            cut = await anext(entries)
            assert len(cut.data) == LARGEST_ENTRY_BYTES and cut.size_bytes == len(long)
        async with asyncio.timeout(5):
            while node.switch.on:
                await asyncio.sleep(0)
    async with serve_operator(path, Declining()):
        with pytest.raises(RequestDeclined, match="there is no device oven"):
            await anext(trace_device(path, "oven"))


@pytest.mark.parametrize("line", [b"hello\n", b'{"type":"reboot"}\n', b"\xff" * 9000 + b"\n"])
async def test_a_request_that_is_none_harms_nobody(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "status.sock"
    async with serve_operator(path, Declining()):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(line)
        await reader.read(-1)
        writer.close()
        assert (await read_status(path)).node == "alice"

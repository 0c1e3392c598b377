"""The ZeroMQ sockets of simulated instruments, seen from the library's own and byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import zmq
import zmq.asyncio
from bench import eventually
from hypothesis import given
from hypothesis import strategies as st

from qkd_drivers.models.idq_id900_run import free_port
from qkd_firmware_sim.cores.id900 import Id900
from qkd_firmware_sim.cores.id900_link import Acquisition
from qkd_firmware_sim.frontends.wire import Wire
from qkd_firmware_sim.frontends.zmtp import ZmtpPort
from qkd_firmware_sim.frontends.zmtp_sessions import RepSession, StreamSession

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(52, b"\0")
HOST = "tcp://127.0.0.1"


@asynccontextmanager
async def served() -> AsyncIterator[tuple[ZmtpPort, Id900, Callable[..., zmq.asyncio.Socket]]]:
    """A time controller, and what makes a client of the library for a port."""
    core = Id900("T-1")
    port = ZmtpPort(core)
    context = zmq.asyncio.Context()
    await port.open()

    def client(kind: int, number: int, **options: int) -> zmq.asyncio.Socket:
        socket: zmq.asyncio.Socket = context.socket(kind)
        for name, value in {"RCVTIMEO": 5000, "LINGER": 0, **options}.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.connect(f"{HOST}:{number}")
        return socket

    try:
        yield port, core, client
    finally:
        context.destroy(linger=0)
        await port.close()


def numbers(port: ZmtpPort) -> tuple[int, int]:
    """The ports of the box and of its service."""
    box, service = port.address.split("?")
    return int(box.rpartition(":")[2]), int(service.rpartition(":")[2])


async def ask(socket: zmq.asyncio.Socket, text: str) -> str:
    await socket.send_string(text)
    return str(await socket.recv_string())


async def streaming(port: ZmtpPort, client: Any) -> tuple[int, zmq.asyncio.Socket]:
    """An acquisition of channel 1: the port of its stream, and the service's client."""
    service, number = client(zmq.REQ, numbers(port)[1]), free_port()
    answer = await ask(service, f"start-stream --address b --channel 1 --stream-port {number}")
    assert answer == '{"id": "b:5556"}'
    return number, service


@pytest.mark.parametrize("options", [{}, {"REQ_CORRELATE": 1}, {"HEARTBEAT_IVL": 20}])
async def test_requests_of_the_library_are_answered(options: dict[str, int]) -> None:
    """Also with numbers on them, which go back with the answer, and with heartbeats between."""
    async with served() as (port, _, client):
        box, service = (client(zmq.REQ, number, **options) for number in numbers(port))
        for _ in range(3):
            assert (await ask(box, "*IDN?")).startswith("IDQuantique,ID900,T-1")
            assert await ask(service, "list") == "[]"
            await asyncio.sleep(2e-3 * options.get("HEARTBEAT_IVL", 0))


async def test_frames_come_whole_and_in_order_whatever_their_size() -> None:
    """Empty ones too, which say that a channel had no tags."""
    frames = [b"", bytes(8), b"", bytes(range(256)), b"long" * (1 << 18), b"end"]
    async with served() as (port, core, client):
        number, _ = await streaming(port, client)
        for frame in frames[:3]:
            core.link.deliver(1, frame)
        stream = client(zmq.PAIR, number)
        for frame in frames[3:]:
            core.link.deliver(1, frame)
        assert [await stream.recv() for _ in frames] == frames
        await eventually(lambda: not core.link.backlog_bytes)


async def test_a_stream_is_for_one_client_at_a_time() -> None:
    """A second is hung up on; when the first is gone, the next is served."""
    async with served() as (port, core, client):
        number, _ = await streaming(port, client)
        first = client(zmq.PAIR, number)
        core.link.deliver(1, b"for the first")
        assert await first.recv() == b"for the first"
        second = client(zmq.PAIR, number, RECONNECT_IVL=-1)
        monitor: Any = second.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        assert await monitor.recv_multipart()
        first.close()
        second.close()
        await eventually(lambda: not port._streams["b:5556"]._clients)
        third = client(zmq.PAIR, number)
        core.link.deliver(1, b"for the third")
        assert await third.recv() == b"for the third"


async def test_a_stream_ends_with_its_acquisition() -> None:
    """Its port is free again for the next one."""
    async with served() as (port, _, client):
        number, service = await streaming(port, client)
        assert "acquisitions_count" in await ask(service, "stop --id b:5556")
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", number)
        again = f"start-stream --address b --channel 2 --stream-port {number}"
        assert await ask(service, again) == '{"id": "b:5557"}'


async def test_a_stream_port_that_is_taken_has_no_acquisition() -> None:
    """The service says nothing of it; nothing is left that nobody could hear."""
    async with served() as (port, core, client):
        box, number = numbers(port)
        taken = f"start-stream --address b --channel 1 --stream-port {box}"
        await ask(client(zmq.REQ, number), taken)
        assert core.link.acquisitions == {}


@pytest.mark.parametrize("fault", ["silence", "drop"])
async def test_what_gets_lost_is_lost_even_if_it_is_empty(fault: str) -> None:
    """The instrument goes on; of its frames nothing arrives."""
    async with served() as (port, core, client):
        number, _ = await streaming(port, client)
        stream = client(zmq.PAIR, number)
        core.link.deliver(1, b"before")
        assert await stream.recv() == b"before"
        await port.wire.apply(fault)
        core.link.deliver(1, b"")
        await eventually(lambda: not core.link.acquisitions["b:5556"].queue)
        await port.wire.apply("restore")
        core.link.deliver(1, b"after")
        assert await stream.recv() == b"after"


async def test_a_torn_frame_does_not_arrive() -> None:
    """The connection drops in the middle of it: a client gets a message whole or not at all."""
    async with served() as (port, core, client):
        number, _ = await streaming(port, client)
        stream = client(zmq.PAIR, number)
        core.link.deliver(1, b"before")
        assert await stream.recv() == b"before"
        await port.wire.apply("hang_up", size=4)
        core.link.deliver(1, b"12345678")
        await port.wire.settle()
        core.link.deliver(1, b"after")
        assert await stream.recv() == b"after", "the library connects again by itself"


async def test_what_is_said_unasked_goes_to_the_streams_alone() -> None:
    """A REP socket says nothing of its own accord."""
    async with served() as (port, core, client):
        number, service = await streaming(port, client)
        stream = client(zmq.PAIR, number)
        core.link.deliver(1, b"")
        assert await stream.recv() == b""
        await port.wire.apply("unsolicited", text="HELLO")
        assert await stream.recv() == b"HELLO\r\n"
        assert await ask(service, "list") == '["b:5556"]'


class Hearing:
    """A REP session by itself, and whether it has hung up."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.hung_up = False
        self.session = RepSession(self._answer, Wire())
        self.session.on_hang_up = lambda: setattr(self, "hung_up", True)

    def _answer(self, request: str, take: Callable[[str], None]) -> None:
        self.heard.append(request)
        take(f"[{request}]")


def frame(body: bytes, flags: int = 0, *, long: bool = False) -> bytes:
    size = len(body).to_bytes(8 if long else 1, "big")
    return bytes([flags | 2 * long]) + size + body


def ready(kind: bytes = b"REQ", name: bytes = b"Socket-Type") -> bytes:
    value = len(kind).to_bytes(4, "big") + kind
    identity = b"\x08Identity\x00\x00\x00\x00"
    return frame(b"\x05READY" + bytes([len(name)]) + name + value + identity, 4)


@given(st.lists(st.integers(1, 200), max_size=12), st.booleans(), st.booleans())
def test_a_request_is_heard_however_it_is_cut(sizes: list[int], long: bool, deep: bool) -> None:
    """Envelopes go back as they came."""
    envelope = frame(b"id", 1) * deep + frame(b"", 1)
    data = GREETING + ready(name=b"SOCKET-TYPE")
    data += envelope + frame(b"*ID", 1, long=long) + frame(b"N?", long=long)
    hearing = Hearing()
    told = b""
    for size in [*sizes, len(data)]:
        hearing.session.receive(data[:size])
        told += hearing.session.take(1 + size // 2)
        data = data[size:]
        if not data:
            break
    assert hearing.heard == ["*IDN?"] and not hearing.hung_up
    assert (told + hearing.session.take(1 << 16)).endswith(envelope + frame(b"[*IDN?]"))


@pytest.mark.parametrize(
    "data",
    [
        b"*IDN?\n",
        GREETING[:10] + b"\x01" + bytes(53),
        GREETING[:12] + b"CURVE" + bytes(47),
        GREETING + ready(b"SUB"),
        GREETING + frame(b"", 1) + frame(b"*IDN?"),
        GREETING + ready() + b"\x02" + b"\x7f" * 8,
    ],
    ids=["text", "version", "security", "socket", "too early", "too long"],
)
def test_strangers_are_hung_up_on(data: bytes) -> None:
    """Whoever speaks no ZMTP 3, another security, as another socket, too early or too much."""
    hearing = Hearing()
    hearing.session.receive(data)
    assert hearing.hung_up and not hearing.heard


def test_a_stream_waits_for_its_client_to_be_ready() -> None:
    """Frames stay with the acquisition until they can leave, and then leave in pieces."""
    acquisition = Acquisition("a", 1, 1)
    acquisition.queue.append(b"x" * 300)
    session = StreamSession(acquisition, set(), Wire())
    session.receive(GREETING)
    assert session.take(1000).startswith(GREETING) and len(acquisition.queue) == 1
    session.receive(ready(b"PAIR"))
    assert session.take(8) == b"\x02" + bytes(6) + b"\x01" and len(acquisition.queue) == 1
    assert session.take(1000) == bytes([300 - 256]) + b"x" * 300 and not acquisition.queue

"""What the ZeroMQ transport says when its wire fails, and that no answer goes astray."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import zmq
import zmq.asyncio
from bench import eventually

from qkd_drivers.errors import (
    DeviceLost,
    DeviceNotFound,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.framing import TimeControllerWire, TraceEntry
from qkd_drivers.transports import make_transport, open_transport


@asynccontextmanager
async def serving(kind: int = zmq.ROUTER) -> AsyncIterator[tuple[zmq.asyncio.Socket, int]]:
    """A socket that the test answers by hand."""
    context = zmq.asyncio.Context()
    try:
        server = context.socket(kind)
        yield server, server.bind_to_random_port("tcp://127.0.0.1")
    finally:
        context.destroy(linger=0)


@asynccontextmanager
async def answering(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[str]:
    """Answers each question, or leaves it when there is None; then, late, before the next one."""
    async with serving() as (server, port):

        async def serve() -> None:
            late: list[list[bytes]] = []
            while True:
                *envelope, question = await server.recv_multipart()
                for message in late:
                    await server.send_multipart(message)
                late.clear()
                if (told := answer(question)) is None:
                    late.append([*envelope, b"late answer to " + question])
                else:
                    await server.send_multipart([*envelope, told])

        task = asyncio.create_task(serve())
        try:
            yield f"zeromq:127.0.0.1:{port}"
        finally:
            task.cancel()
            await asyncio.wait({task})


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def box(question: bytes) -> bytes | None:
    """Knows who it is, says each question back, and is slow to answer ``slow?``."""
    if question == b"*IDN?":
        return b"a,b,c,d"
    return None if question == b"slow?" else question


async def test_a_late_answer_never_answers_the_next_question() -> None:
    """The socket that waits for it is thrown away, and with it what may yet come."""
    trace: list[TraceEntry] = []
    async with answering(box) as address:
        wire = TimeControllerWire(make_transport(address), "box", trace.append)
        await wire.open()
        assert await wire.ask("one?") == "one?"
        wire.reply_timeout_s = 0.1
        with pytest.raises(DeviceTimeout, match=r"box.*slow"):
            await wire.ask("slow?")
        for question in ("two?", "three?"):
            assert await wire.ask(question) == question
        assert {entry.direction for entry in trace} == {">", "<", "!"}
        await wire.close()


async def test_a_cancelled_question_leaves_its_answer_to_nobody() -> None:
    """The next one gets its own."""
    async with answering(box) as address:
        wire = TimeControllerWire(make_transport(address), "box")
        await wire.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.ask("slow?")
        assert await wire.ask("next?") == "next?"
        await wire.close()


@pytest.mark.parametrize("numbered", ["yes", "no"])
async def test_questions_at_once_get_their_own_answers(numbered: str) -> None:
    """One transaction is in flight at a time."""
    async with answering(box) as address:
        wire = TimeControllerWire(make_transport(f"{address}?numbered={numbered}"), "box")
        await wire.open()
        questions = [f"q{i}?" for i in range(50)]
        assert await asyncio.gather(*(wire.ask(question) for question in questions)) == questions
        await wire.close()


@pytest.mark.parametrize("alone", [False, True])
async def test_an_answer_that_comes_twice_never_answers_the_next_question(
    monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """Its number is that of the last one; alone, it makes the socket look as if it had more."""
    awaited: list[int] = []
    receive = zmq.asyncio.Socket.recv_multipart

    def noted(socket: zmq.asyncio.Socket) -> "asyncio.Future[list[bytes]]":
        if socket.type == zmq.REQ:
            awaited.append(len(awaited))
        return receive(socket)

    monkeypatch.setattr(zmq.asyncio.Socket, "recv_multipart", noted)
    async with serving() as (server, port):
        transport = await open_transport(f"zeromq:127.0.0.1:{port}")
        await transport.write(b"one?\n")
        *first, _ = await server.recv_multipart()
        await server.send_multipart([*first, b"one"])
        assert await transport.read_until(b"\n", timeout_s=5) == b"one\n"
        await transport.write(b"two?\n")
        *second, _ = await server.recv_multipart()
        await server.send_multipart([*first, b"one"])
        if alone:
            await eventually(lambda: len(awaited) == 3)
        await server.send_multipart([*second, b"two"])
        assert await transport.read_until(b"\n", timeout_s=5) == b"two\n"
        await transport.close()


async def test_a_peer_that_takes_no_numbers_is_told_of_and_asked_without() -> None:
    """Numbers are one frame more before the empty one that ends the envelope."""
    async with serving() as (server, port):

        async def serve() -> None:
            while True:
                identity, *rest = await server.recv_multipart()
                if len(rest) == 2:
                    await server.send_multipart([identity, b"", box(rest[1]) or b""])

        task = asyncio.create_task(serve())
        wire = TimeControllerWire(make_transport(f"zeromq:127.0.0.1:{port}"), "box")
        wire.reply_timeout_s = 0.1
        await wire.open()
        with pytest.raises(DeviceTimeout, match=r"box: .*say numbered=no in its address"):
            await wire.ask("one?")
        await wire.close()
        wire = TimeControllerWire(make_transport(f"zeromq:127.0.0.1:{port}?numbered=no"), "box")
        await wire.open()
        assert await wire.ask("one?") == "one?"
        await wire.close()
        task.cancel()
        await asyncio.wait({task})


async def test_a_peer_that_has_answered_is_not_doubted_for_its_numbers() -> None:
    async with answering(box) as address:
        wire = TimeControllerWire(make_transport(address), "box")
        await wire.open()
        await wire.ask("one?")
        wire.reply_timeout_s = 0.1
        with pytest.raises(DeviceTimeout) as caught:
            await wire.ask("slow?")
        assert "numbered" not in str(caught.value)
        await wire.close()


async def test_a_second_question_before_the_answer_is_an_error() -> None:
    """Below the lock of the wire a REQ socket allows none."""
    async with answering(box) as address:
        transport = await open_transport(address)
        await transport.write(b"slow?\n")
        with pytest.raises(DeviceProtocolError, match="owes"):
            await transport.write(b"two?\n")
        await transport.resynchronise()
        await transport.write(b"two?\n")
        assert await transport.read_until(b"\n", timeout_s=1) == b"two?\n"
        await transport.close()
        await transport.close()


async def test_the_last_to_open_or_close_has_the_connection() -> None:
    """Whoever was about to open it meanwhile is told, and leaves nothing behind."""
    async with answering(box) as address:
        transport = make_transport(address)
        first, second = (asyncio.create_task(transport.open()) for _ in range(2))
        with pytest.raises(DeviceLost, match="while it was being opened"):
            await first
        await second
        await transport.write(b"two?\n")
        assert await transport.read_until(b"\n", timeout_s=5) == b"two?\n"
        third = asyncio.create_task(transport.open())
        await asyncio.sleep(0)
        await transport.close()
        with pytest.raises(DeviceLost, match="while it was being opened"):
            await third
        gc.collect()  # what was left open is told here


async def test_a_close_that_is_cancelled_closes_all_the_same() -> None:
    """Nothing is left that nobody could close."""
    async with answering(box) as address:
        transport = await open_transport(address)
        closing = asyncio.create_task(transport.close())
        await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        del transport
        gc.collect()


async def test_nothing_there_is_refused_and_an_unknown_host_not_found() -> None:
    """Although connecting a ZeroMQ socket never fails by itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeviceRefused, match="switched on"):
        await open_transport(f"zeromq:127.0.0.1:{port}")
    with pytest.raises(DeviceNotFound):
        await open_transport("zeromq:no-such-host.invalid:5555")


@pytest.mark.parametrize(
    ("says", "fault", "told"),
    [
        (b"", DeviceRefused, "dropped it: does ZeroMQ"),
        (
            b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47),
            DeviceProtocolError,
            "speak ZeroMQ",
        ),
    ],
)
async def test_a_peer_that_does_not_shake_hands_is_not_ours(
    says: bytes, fault: type[Exception], told: str
) -> None:
    """A port that takes connections is no time controller yet."""
    ended = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        if says:
            writer.write(says)
            with contextlib.suppress(ConnectionError):
                await reader.read()
        await close(writer)
        ended += 1

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(fault, match=told):
            await open_transport(f"zeromq:127.0.0.1:{port}")
        await eventually(lambda: ended == 2)  # the trial and the connection


async def test_a_peer_that_never_greets_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time, and nothing is left open."""
    monkeypatch.setattr("qkd_drivers.transports.zeromq.OPEN_TIMEOUT_S", 0.2)

    ended = 0

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await close(writer)
        ended += 1

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeviceTimeout, match="greet"):
            await open_transport(f"zeromq:127.0.0.1:{port}")
        await eventually(lambda: ended == 2)


async def test_a_peer_that_goes_is_told_at_once() -> None:
    """A reader learns it before its own deadline; so does whoever asks next."""
    async with serving() as (server, port):
        transport = await open_transport(f"zeromq:127.0.0.1:{port}")
        await transport.write(b"*IDN?\n")
        reading = asyncio.create_task(transport.read_until(b"\n", timeout_s=60))
        await server.recv_multipart()
        server.close(linger=0)
        with pytest.raises(DeviceLost, match="closed the connection"):
            await reading
        with pytest.raises(DeviceLost):
            await transport.write(b"x\n")
        await transport.close()


@pytest.mark.parametrize("address", ["zeromq:host", "zeromq:host:0", "zeromq::5555"])
def test_a_malformed_address_is_named(address: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match="want zeromq:host:port"):
        make_transport(address)


def test_questions_are_numbered_or_not() -> None:
    with pytest.raises(ValueError, match="numbered is yes or no"):
        make_transport("zeromq:host:5555?numbered=maybe")

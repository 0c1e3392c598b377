"""Frames of a ZeroMQ peer: whole, in order, held back when nobody reads, and what their end is."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import zmq
import zmq.asyncio
from bench import eventually

from qkd_drivers.errors import (
    DeviceError,
    DeviceLost,
    DeviceNotFound,
    DeviceProtocolError,
    DeviceRefused,
    DeviceTimeout,
)
from qkd_drivers.transports import ZeromqStream

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(52, b"\0")
READY = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PAIR"


@asynccontextmanager
async def sending() -> AsyncIterator[tuple[zmq.asyncio.Socket, ZeromqStream]]:
    """A PAIR socket of the library, and the stream from it."""
    context = zmq.asyncio.Context()
    server = context.socket(zmq.PAIR)
    server.setsockopt(zmq.SNDHWM, 1)
    stream = ZeromqStream("stream 1", "127.0.0.1", server.bind_to_random_port("tcp://127.0.0.1"))
    try:
        await stream.open()
        yield server, stream
    finally:
        stream.close()
        context.destroy(linger=0)


@asynccontextmanager
async def by_hand(
    *says: bytes,
) -> AsyncIterator[tuple[ZeromqStream, "asyncio.Queue[asyncio.StreamWriter]"]]:
    """A peer that says this at once, and then what the test writes."""
    writers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(says))
        writers.put_nowait(writer)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        stream = ZeromqStream("stream 1", "127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            yield stream, writers
        finally:
            stream.close()
            await ended.wait()


async def frame_of(stream: ZeromqStream, piece_bytes: int = 1 << 18) -> bytes:
    """The next frame, piece by piece."""
    whole = bytearray(await stream.begin(timeout_s=5))
    view = memoryview(whole)
    while stream.left_bytes:
        piece = view[-stream.left_bytes :][:piece_bytes]
        await stream.read_into(piece, timeout_s=5)
    return bytes(whole)


async def test_frames_come_whole_and_in_order_whatever_their_size() -> None:
    """From none to more than the kernel holds, read in pieces or at once."""
    frames = [b"", b"12345678", bytes(range(256)), bytes(1 << 16), bytes(range(256)) * (1 << 15)]
    async with sending() as (server, stream):
        for piece_bytes in (1 << 18, 1 << 24):
            for frame in frames:
                sent = server.send(frame)
                assert await frame_of(stream, piece_bytes) == frame
                await sent


async def test_silence_and_loss_are_different_errors() -> None:
    """A stream that is silent may go on; one that was lost, or closed here, does not."""
    async with sending() as (server, stream):
        with pytest.raises(DeviceTimeout, match="nothing came from stream 1"):
            await stream.begin(timeout_s=0.05)
        await server.send(b"late")
        assert await frame_of(stream) == b"late"
        reading = asyncio.create_task(stream.begin(timeout_s=60))
        await asyncio.sleep(0)
        server.close(linger=0)
        with pytest.raises(DeviceLost, match="stream 1 closed the connection"):
            await reading
        stream.close()
        stream.close()
        with pytest.raises(DeviceLost, match="not open"):
            await stream.begin(timeout_s=1)


async def test_closing_ends_a_read() -> None:
    """Whoever waits for a frame learns at once that none will come."""
    async with sending() as (_, stream):
        reading = asyncio.create_task(stream.begin(timeout_s=60))
        await asyncio.sleep(0)
        stream.close()
        with pytest.raises(DeviceLost, match="not open"):
            await reading


async def test_what_came_before_a_read_was_given_up_is_kept() -> None:
    """Of the header as of the body, wherever the silence cuts them."""
    data = b"\x02" + (6).to_bytes(8, "big") + b"abcdef"
    async with by_hand(GREETING, READY) as (stream, writers):
        await stream.open()
        writer = await writers.get()
        writer.write(data[:4])
        with pytest.raises(DeviceTimeout):
            await stream.begin(timeout_s=0.05)
        writer.write(data[4:12])
        assert await stream.begin(timeout_s=5) == 6
        memory = memoryview(bytearray(6))
        with pytest.raises(DeviceTimeout):
            await stream.read_into(memory, timeout_s=0.05)
        assert stream.left_bytes == 3
        writer.write(data[12:])
        await stream.read_into(memory[3:], timeout_s=5)
        assert memory == b"abcdef"


async def test_no_more_is_read_than_the_frame_has() -> None:
    """Nor does a frame begin within another."""
    async with sending() as (server, stream):
        await server.send(b"1234")
        assert await stream.begin(timeout_s=5) == 4
        with pytest.raises(ValueError, match="4 bytes left"):
            await stream.read_into(memoryview(bytearray(5)), timeout_s=1)
        with pytest.raises(ValueError, match="4 bytes of the last frame"):
            await stream.begin(timeout_s=1)


async def test_a_stream_that_nobody_reads_stops_its_sender() -> None:
    """Back-pressure: a few frames and what the kernel holds, then the sender waits."""
    frame = bytes(1 << 22)
    async with sending() as (server, stream):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(64):
                await server.send(frame)
                sent += 1

        task = asyncio.create_task(send())
        await eventually(lambda: sent > 0)
        steady = 0
        while steady < 5:  # looks in a row at which it had not moved
            before = sent
            await asyncio.sleep(0.1)
            steady = steady + 1 if sent == before else 0
        assert sent < 32
        for _ in range(64):
            assert len(await frame_of(stream)) == len(frame)
        await eventually(task.done)


@pytest.mark.parametrize(
    ("says", "fault", "told"),
    [
        ((b"SSH-2.0-OpenSSH".ljust(64),), DeviceProtocolError, "no greeting of ZeroMQ"),
        ((GREETING.replace(b"NULL\0", b"CURVE"),), DeviceProtocolError, "security CURVE"),
        ((GREETING[:20],), DeviceTimeout, "did not greet"),
        ((GREETING,), DeviceTimeout, "did not greet"),
    ],
)
async def test_a_stranger_is_named(
    monkeypatch: pytest.MonkeyPatch, says: tuple[bytes, ...], fault: type[DeviceError], told: str
) -> None:
    """In bounded time, and nothing is left open."""
    monkeypatch.setattr("qkd_drivers.transports.zeromq_stream.OPEN_TIMEOUT_S", 0.2)
    async with by_hand(*says) as (stream, _):
        with pytest.raises(fault, match=f"stream 1.*{told}"):
            await stream.open()
        with pytest.raises(DeviceLost, match="not open"):
            await stream.begin(timeout_s=1)


async def test_a_peer_that_hangs_up_nothing_there_and_an_unknown_host() -> None:
    """Each is told apart."""
    async with by_hand() as (stream, writers):
        opening = asyncio.create_task(stream.open())
        (await writers.get()).close()
        with pytest.raises(DeviceRefused, match="dropped it: does ZeroMQ"):
            await opening
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeviceRefused, match="switched on"):
        await ZeromqStream("stream 1", "127.0.0.1", port).open()
    with pytest.raises(DeviceNotFound):
        await ZeromqStream("stream 1", "no-such-host.invalid", port).open()

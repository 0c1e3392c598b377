"""TLS over a connection, at its end."""

import asyncio
import random
import socket
import ssl
from pathlib import Path

from qkd_controller.cli.pki import make_authority, make_certificate
from qkd_controller.config.node import Tls
from qkd_controller.link import tls
from qkd_controller.link.tls_pipe import TlsPipe


def _says_goodbye_and_more(end: socket.socket, context: ssl.SSLContext) -> None:
    """A client that sends one record, its goodbye, and a byte after it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            end.sendall(outgoing.read())
            incoming.write(end.recv(1 << 16))
    client.write(b"the last")
    try:
        client.unwrap()
    except ssl.SSLWantReadError:
        end.sendall(outgoing.read() + b"\0")


def _contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server and of a client that knows it by no address."""
    make_authority(folder, demo=True)
    files = [
        Tls(str(folder / "ca.pem"), str(made.certificate), str(made.key))
        for made in (make_certificate(folder, "node", name) for name in ("alice", "bob"))
    ]
    client = tls.client_context(files[1])
    client.check_hostname = False
    return tls.server_context(files[0]), client


async def test_more_than_any_buffer_holds_arrives_in_order(tmp_path: Path) -> None:
    """However many records are there at once when they are read."""
    server, client = _contexts(tmp_path)
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    sent = random.Random(1).randbytes(3_000_001)
    async with asyncio.timeout(20):
        writer, reader = await asyncio.gather(
            TlsPipe.connected(server, server_side=True, sock=here),
            TlsPipe.connected(client, server_side=False, sock=there),
        )
        writer.write(sent[:100], sent[100:])
        drained = asyncio.create_task(writer.drain())
        received, longest, place = b"", 0, memoryview(bytearray(1 << 20))
        while len(received) < len(sent):
            # Of the last record, a part may be within the TLS machine already.
            while reader._incoming.pending < min(1 << 19, len(sent) - len(received) - (1 << 15)):
                await asyncio.sleep(0)
            count = await reader.read(place, 5.0)
            received, longest = received + place[:count], max(longest, count)
        await drained
        assert received == sent and longest > 1 << 18
        for pipe in (writer, reader):
            pipe.close()
            await pipe.closed()


async def test_what_comes_after_a_goodbye_ends_nothing_but_the_connection(tmp_path: Path) -> None:
    """Anybody on the way can add a byte: it must not keep the event loop."""
    server, client = _contexts(tmp_path)
    here, there = socket.socketpair()
    here.setblocking(False)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_says_goodbye_and_more, there, client))
        pipe = await TlsPipe.connected(server, server_side=True, sock=here)
        said, place = b"", bytearray(5)
        while count := await pipe.read(memoryview(place), 5.0):
            said += place[:count]
        assert said == b"the last"
        pipe.close()
        await pipe.closed()
    there.close()

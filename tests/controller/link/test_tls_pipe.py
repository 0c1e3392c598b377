"""TLS over a connection, at its end."""

import asyncio
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


async def test_what_comes_after_a_goodbye_ends_nothing_but_the_connection(tmp_path: Path) -> None:
    """Anybody on the way can add a byte: it must not keep the event loop."""
    make_authority(tmp_path, demo=True)
    files = [
        Tls(str(tmp_path / "ca.pem"), str(made.certificate), str(made.key))
        for made in (make_certificate(tmp_path, "node", name) for name in ("alice", "bob"))
    ]
    here, there = socket.socketpair()
    here.setblocking(False)
    client = tls.client_context(files[1])
    client.check_hostname = False
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_says_goodbye_and_more, there, client))
        pipe = await TlsPipe.connected(tls.server_context(files[0]), server_side=True, sock=here)
        said, place = b"", bytearray(5)
        while count := await pipe.read(memoryview(place), 5.0):
            said += place[:count]
        assert said == b"the last"
        pipe.close()
        await pipe.closed()
    there.close()

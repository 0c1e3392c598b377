"""Two nodes' processes with what they need: certificates, a pairing, stores, ports, a core each."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from qkd_controller.cli.pki import make_authority, make_certificate
from qkd_controller.config.link import LinkFile
from qkd_controller.config.node import Tls
from qkd_controller.keys.link_store import open_link
from qkd_controller.keys.pairing import import_pairing, make_pairing
from qkd_controller.keys.store import KeyStore
from qkd_controller.link.codec import Codec
from qkd_controller.link.durable import DurableStore
from qkd_controller.link.endpoint import LinkEndpoint
from qkd_controller.link.session import SessionTiming
from qkd_controller.link.terms import LinkTerms

NODES = ("alice", "bob")
PAD_BYTES = 1 << 20

T = TypeVar("T")


class Post(msgspec.Struct, frozen=True):
    """One node's place in the link."""

    name: str
    link: LinkFile
    address: str
    tls: Tls
    state_dir: str
    core: int

    def endpoint(self, store: KeyStore, codec: Codec) -> LinkEndpoint:
        """The node's end of the link."""
        return LinkEndpoint(
            LinkTerms.of(self.link, self.name),
            self.address,
            self.tls,
            DurableStore(open_link(store, self.link, self.name), store.in_thread),
            codec,
            SessionTiming(silence_timeout_s=60),
        )


def run_pair(
    link: LinkFile,
    rtt_ms: float,
    state_dir: Path,
    module: str,
    job: Callable[[Post], msgspec.Struct],
    outcome: type[T],
) -> dict[str, T]:
    """Runs the module once for each node, a job on its input, and reads an outcome from each."""
    with tempfile.TemporaryDirectory(dir=state_dir) as folder, _nearby(rtt_ms) as ports:
        directory = Path(folder)
        authority = make_authority(directory / "pki", demo=True)
        secret = make_pairing(link, PAD_BYTES)
        processes = {}
        for core, (name, port) in enumerate(zip(NODES, ports, strict=True)):
            credentials = make_certificate(directory / "pki", "node", name)
            with KeyStore(directory / name) as store:
                import_pairing(store, secret, name)
            tls = Tls(
                str(authority.certificate), str(credentials.certificate), str(credentials.key)
            )
            post = Post(name, link, f"127.0.0.1:{port}", tls, str(directory / name), core)
            processes[name] = _started(module, job(post))
        outcomes = {}
        try:
            for name, process in processes.items():
                output, _ = process.communicate()
                if process.returncode:
                    raise SystemExit(f"{name} failed with status {process.returncode}")
                outcomes[name] = msgspec.json.decode(output, type=outcome)
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
        return outcomes


def _started(module: str, job: msgspec.Struct) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(job))
    process.stdin.close()
    process.stdin = None
    return process


@contextmanager
def _nearby(rtt_ms: float) -> Iterator[tuple[int, int]]:
    """The ports of the listener and of the end that connects, so far apart."""
    listener, relay = _free_port(), _free_port()
    if not rtt_ms:
        yield listener, listener
        return
    command = [sys.executable, "-m", "benchmarks.pipeline_delay"]
    process = subprocess.Popen([*command, str(relay), str(listener), str(rtt_ms / 2)])
    try:
        time.sleep(1)
        yield listener, relay
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port

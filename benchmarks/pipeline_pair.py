"""Two nodes' processes with what they need: certificates, a pairing, stores, ports, a core each."""

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
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
    """Runs the module once for each node, a job on its input, and reads an outcome from each.

    SystemExit, which says why, as soon as either fails.
    """
    with tempfile.TemporaryDirectory(dir=state_dir) as folder:
        directory = Path(folder)
        authority = make_authority(directory / "pki", demo=True)
        secret = make_pairing(link, PAD_BYTES)
        processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            ports = _connected(rtt_ms, processes)
            for core, (name, port) in enumerate(zip(NODES, ports, strict=True)):
                credentials = make_certificate(directory / "pki", "node", name)
                with KeyStore(directory / name) as store:
                    import_pairing(store, secret, name)
                tls = Tls(
                    str(authority.certificate), str(credentials.certificate), str(credentials.key)
                )
                post = Post(name, link, f"127.0.0.1:{port}", tls, str(directory / name), core)
                processes[name] = _started(module, job(post))
            return _outcomes(processes, outcome)
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


def _outcomes(processes: "dict[str, subprocess.Popen[bytes]]", outcome: type[T]) -> dict[str, T]:
    """What the nodes write; the relay never ends by itself."""
    outcomes: dict[str, T] = {}
    with ThreadPoolExecutor(len(processes)) as threads:
        outputs = {threads.submit(each.communicate): name for name, each in processes.items()}
        try:
            for done in as_completed(outputs):
                name = outputs[done]
                if name not in NODES or processes[name].returncode:
                    raise SystemExit(f"{name} {_ended(processes[name].returncode)}")
                outcomes[name] = msgspec.json.decode(done.result()[0], type=outcome)
                if len(outcomes) == len(NODES):
                    break
        finally:
            # Their threads wait for them.
            for process in processes.values():
                process.kill()
    return outcomes


def _ended(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _started(module: str, job: msgspec.Struct) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has died, and its status will tell
        process.stdin.write(msgspec.json.encode(job))
        process.stdin.close()
    process.stdin = None
    return process


def _connected(rtt_ms: float, processes: "dict[str, subprocess.Popen[bytes]]") -> tuple[int, int]:
    """The ports of the listener and of the end that connects, by a relay if they are far apart."""
    listener, relay = _free_port(), _free_port()
    if not rtt_ms:
        return listener, listener
    command = [sys.executable, "-m", "benchmarks.pipeline_delay"]
    processes["relay"] = subprocess.Popen([*command, str(relay), str(listener), str(rtt_ms / 2)])
    time.sleep(1)
    return listener, relay


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port

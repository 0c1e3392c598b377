"""A demo site on disk: authority, certificates, pairing secret, and configuration for loopback."""

import contextlib
import fcntl
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qkd_controller.cli.draw import AppCredentials
from qkd_controller.cli.pki import make_authority, make_certificate
from qkd_controller.config.errors import QkdError
from qkd_controller.config.link import LinkFile
from qkd_controller.config.load import load_link, load_node
from qkd_controller.config.node import NodeFile
from qkd_controller.keys.pairing import import_pairing, make_pairing
from qkd_controller.keys.store import KeyStore

MARKER = ".qkd-demo"
PAD_BYTES = 1 << 18
PORTS = range(7410, 7420)


class SiteError(QkdError):
    """The demo cannot be set up or started."""


@dataclass(frozen=True)
class DemoNode:
    """One node of the demo and its one application."""

    config: Path
    status_socket: Path
    delivery_url: str
    sae_id: str
    application: AppCredentials


@dataclass(frozen=True)
class DemoSite:
    """Everything the demo runs."""

    directory: Path
    lab: Path
    nodes: dict[str, DemoNode]


@contextlib.contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Keeps a demo's directory for this process; raises SiteError if another one has it."""
    _prepare(directory)
    with (directory / MARKER).open("r+b") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SiteError(
                f"a demo runs in {directory} already; choose another directory with --dir"
            ) from None
        yield


def build_site(
    configs: Path, directory: Path, lab: Path | None = None, *, fresh_ports: bool = False
) -> DemoSite:
    """Makes a site anew from configs/{links,nodes,labs}/demo*.toml; a former one is erased.

    Ports in use, or all with fresh_ports, are replaced by free ones. Raises SiteError if the
    directory is something else, ConfigError for faulty configuration.
    """
    _prepare(directory)
    _clear(directory)
    ports = _free_ports(fresh_ports)
    link_file = _copy(configs / "links/demo.toml", directory / "link.toml", ports)
    lab_file = _copy(lab or configs / "labs/demo.toml", directory / "lab.toml", ports)
    link = load_link(link_file)
    pki = directory / "pki"
    authority = make_authority(pki, demo=True)
    nodes = {}
    for name in link.nodes:
        (directory / name).mkdir(mode=0o700)
        config = _copy(configs / f"nodes/demo-{name}.toml", directory / name / "node.toml", ports)
        make_certificate(pki, "node", name)
        node = load_node(config)
        (application,) = node.delivery.applications
        nodes[name] = DemoNode(
            config=config,
            status_socket=Path(node.status_socket),
            delivery_url=f"https://{node.delivery.address}",
            sae_id=application.sae_id,
            application=AppCredentials(
                authority.certificate, make_certificate(pki, "sae", application.sae_id)
            ),
        )
    _pair(link, {name: load_node(node.config) for name, node in nodes.items()})
    return DemoSite(directory, lab_file, nodes)


def _pair(link: LinkFile, nodes: dict[str, NodeFile]) -> None:
    secret = make_pairing(link, PAD_BYTES)
    try:
        for name, node in nodes.items():
            with KeyStore(Path(node.state_dir)) as store:
                import_pairing(store, secret, name)
    finally:
        secret.wipe()


def _prepare(directory: Path) -> None:
    """Makes the directory and its marker unless they exist."""
    marker = directory / MARKER
    try:
        if directory.exists() and not marker.exists() and any(directory.iterdir()):
            raise SiteError(f"{directory} is not a demo's directory; choose another with --dir")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        marker.touch(mode=0o600)
    except OSError as error:
        raise SiteError(f"{directory} cannot be used: {error.strerror}") from None


def _clear(directory: Path) -> None:
    """Erases a former site; the marker stays, for somebody may hold its lock."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()


def _copy(source: Path, target: Path, ports: dict[str, str]) -> Path:
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise SiteError(f"{source}: {error.strerror}; give the folder with --configs") from None
    target.touch(mode=0o600)
    target.write_text(re.sub(r"\b741\d\b", lambda m: ports[m[0]], text), encoding="utf-8")
    return target


def _free_ports(fresh: bool) -> dict[str, str]:
    """Each port of the demo's configuration, by itself unless fresh, or by a free one."""
    chosen = {}
    held = []
    for port in PORTS:
        probe = socket.socket()
        held.append(probe)
        try:
            probe.bind(("127.0.0.1", 0 if fresh else port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        chosen[str(port)] = str(probe.getsockname()[1])
    for probe in held:
        probe.close()
    return chosen

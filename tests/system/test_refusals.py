"""Ends that do not belong together say so, once and clearly, and make no key."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed import PEER, Node, Testbed, qkd, testbed, until

from qkd_controller.cli.pki import Credentials, make_authority, make_certificate
from qkd_controller.config.load import load_node


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Testbed]:
    """Two nodes without a table: what they say to each other does not need one."""
    with testbed(tmp_path) as bed:
        yield bed


def test_another_pairing_secret(pair: Testbed, tmp_path: Path) -> None:
    """One end was paired anew: the secret is named, before any block."""
    secret = tmp_path / "pairing.secret"
    node = pair.bob.site.config
    assert qkd("pair", "new", pair.site.directory / "link.toml", "--out", secret).returncode == 0
    assert qkd("pair", "import", secret, "--node", node, "--replace").returncode == 0
    assert not secret.exists()
    causes = refusals(pair)
    assert "alice holds another pairing secret" in causes["bob"] + causes["alice"]
    assert all("pairing secret" in cause for cause in causes.values())


def test_link_files_that_differ(pair: Testbed) -> None:
    """Just the fields that differ are named, at both ends."""
    own = pair.bob.directory / "link.toml"
    text = (pair.site.directory / "link.toml").read_text()
    text = substitute(text, "qber_tolerance_ratio = 0.045", "qber_tolerance_ratio = 0.05")
    own.write_text(substitute(text, "slice_ms = 100", "slice_ms = 50"))
    reconfigure(pair.bob, "../link.toml", "link.toml")
    for cause in refusals(pair).values():
        named = re.findall(r"[a-z_]+\.[a-z_]+", cause)
        assert sorted(named) == ["block.qber_tolerance_ratio", "timing.slice_ms"], cause


def test_a_certificate_of_a_foreign_authority(pair: Testbed, tmp_path: Path) -> None:
    """Right in everything but who signed it."""
    make_authority(tmp_path / "foreign", demo=True)
    use(pair.bob, make_certificate(tmp_path / "foreign", "node", "bob"))
    for cause in refusals(pair).values():
        assert "certificate" in cause.lower(), cause


def test_a_foreign_authority_is_not_trusted(pair: Testbed, tmp_path: Path) -> None:
    """The end that trusts another authority says that the certificate is at fault."""
    foreign = make_authority(tmp_path / "foreign", demo=True)
    reconfigure(pair.bob, "../pki/ca.pem", str(foreign.certificate))
    for cause in refusals(pair).values():
        assert "certificate" in cause.lower(), cause


def test_the_certificate_of_another_node(pair: Testbed) -> None:
    """Whoever holds only a certificate of the same authority is not the peer."""
    pki = pair.site.directory / "pki"
    stranger = make_certificate(pki, "node", "charlie")
    assert_turned_away(pair, stranger, "node charlie; node bob was expected")


def test_an_application_is_no_node(pair: Testbed) -> None:
    """An application's certificate opens no link, from outside or in the node's own place."""
    application = pair.bob.site.application.own
    assert_turned_away(pair, application, "application sae-bob; a link takes node certificates")

    use(pair.bob, application)
    pair.bob.start()
    assert pair.bob.wait() == 1
    (line,) = pair.bob.errors.read_text().splitlines()
    assert "sae-bob" in line
    assert "not of node bob" in line


def test_a_node_is_no_application(pair: Testbed) -> None:
    """A node's certificate draws no key."""
    alice = pair.alice
    alice.start()
    until(alice.status, "alice answers")
    pki = pair.site.directory / "pki"
    drawn = qkd(
        "draw",
        alice.site.delivery_url,
        *("--slave", "sae-bob", "--ca", pki / "ca.pem"),
        *("--cert", pki / "node-bob.pem", "--key", pki / "node-bob.key"),
    )
    assert drawn.returncode == 1
    (line,) = drawn.stderr.splitlines()
    assert "refused (401)" in line


def refusals(pair: Testbed) -> dict[str, str]:
    """Starts both ends and lets them try twice; the one cause that each gives."""
    pair.alice.start()
    until(lambda: pair.alice.log.events("link_listening"), "alice listens")
    pair.bob.start()

    def failures(node: Node) -> list[str]:
        events = node.log.events("link_down") + node.log.events("link_refused")
        return [event["cause"] for event in events]

    for node in pair.nodes.values():
        until(lambda node=node: len(failures(node)) >= 2, f"{node.name} is refused twice")
    causes = {}
    for name, node in pair.nodes.items():
        (causes[name],) = set(failures(node))
        assert node.log.events("link_up") == []
        assert node.log.events("block_released") == []
        link = node.link()
        assert link is not None
        assert not link.peer_connected
        assert link.own_key_bits == link.redeemable_key_bits == 0
    pair_is_calm(pair)
    return causes


def pair_is_calm(pair: Testbed) -> None:
    for node in pair.nodes.values():
        assert node.alive
        assert node.errors.read_text() == ""
        assert "Traceback" not in node.log.path.read_text()
        assert node.log.events("library") == []


def assert_turned_away(pair: Testbed, stranger: Credentials, cause: str) -> None:
    """Alice takes no link from the owner of this certificate and says why in her log."""
    alice = pair.alice
    alice.start()
    (listening,) = until(lambda: alice.log.events("link_listening"), "alice listens")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(pair.site.directory / "pki/ca.pem")
    context.load_cert_chain(stranger.certificate, stranger.key)
    import socket

    with (
        socket.create_connection((listening["host"], listening["port"])) as plain,
        context.wrap_socket(plain) as guest,
    ):
        guest.settimeout(10)
        assert cause.encode() in guest.recv(65536)
    (refused,) = until(lambda: alice.log.events("link_refused"), "alice tells of it")
    assert cause in refused["cause"]
    assert alice.errors.read_text() == ""


def use(node: Node, credentials: Credentials) -> None:
    """Gives the node another certificate."""
    tls = load_node(node.site.config).tls
    name = Path(tls.certificate).stem
    reconfigure(node, f"../pki/{name}.pem", str(credentials.certificate))
    reconfigure(node, f"../pki/{name}.key", str(credentials.key))


def reconfigure(node: Node, old: str, new: str) -> None:
    """Changes the node's file."""
    node.site.config.write_text(substitute(node.site.config.read_text(), old, new))


def substitute(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


assert PEER

"""Ends that do not belong together say so clearly and make no key.

No table runs: what the nodes say to each other does not need one.
"""

import re
import socket
import ssl
from pathlib import Path

from testbed import Testbed, qkd
from testbed_node import Node
from waiting import until

from qkd_controller.cli.pki import Credentials, make_authority, make_certificate
from qkd_controller.config.load import load_node


def test_another_pairing_secret(cold_bed: Testbed, tmp_path: Path) -> None:
    """One end was paired anew: the secret is named, before any block."""
    secret = tmp_path / "pairing.secret"
    node = cold_bed.bob.site.config
    assert (
        qkd("pair", "new", cold_bed.site.directory / "link.toml", "--out", secret).returncode == 0
    )
    assert qkd("pair", "import", secret, "--node", node, "--replace").returncode == 0
    assert not secret.exists()
    causes = refusals(cold_bed)
    assert "alice holds another pairing secret" in causes["bob"] + causes["alice"]
    assert all("pairing secret" in cause for cause in causes.values())


def test_link_files_that_differ(cold_bed: Testbed) -> None:
    """Just the fields that differ are named, at both ends."""
    own = cold_bed.bob.directory / "link.toml"
    text = (cold_bed.site.directory / "link.toml").read_text()
    text = substitute(text, "qber_tolerance_ratio = 0.045", "qber_tolerance_ratio = 0.05")
    own.write_text(substitute(text, "slice_ms = 100", "slice_ms = 50"))
    reconfigure(cold_bed.bob, "../link.toml", "link.toml")
    for cause in refusals(cold_bed).values():
        named = re.findall(r"[a-z_]+\.[a-z_]+", cause)
        assert sorted(named) == ["block.qber_tolerance_ratio", "timing.slice_ms"], cause


def test_a_certificate_of_a_foreign_authority(cold_bed: Testbed, tmp_path: Path) -> None:
    """Right in everything but who signed it."""
    make_authority(tmp_path / "foreign", demo=True)
    use(cold_bed.bob, make_certificate(tmp_path / "foreign", "node", "bob"))
    causes = refusals(cold_bed)
    assert "the peer's certificate is not trusted" in causes["alice"]
    assert "does not trust this end's certificate" in causes["bob"]


def test_a_foreign_authority_is_not_trusted(cold_bed: Testbed, tmp_path: Path) -> None:
    """The end that trusts another authority says that the certificate is at fault."""
    foreign = make_authority(tmp_path / "foreign", demo=True)
    reconfigure(cold_bed.bob, "../pki/ca.pem", str(foreign.certificate))
    causes = refusals(cold_bed)
    assert "does not trust this end's certificate" in causes["alice"]
    assert "the peer's certificate is not trusted" in causes["bob"]


def test_the_certificate_of_another_node(cold_bed: Testbed) -> None:
    """Whoever holds only a certificate of the same authority is not the peer."""
    pki = cold_bed.site.directory / "pki"
    stranger = make_certificate(pki, "node", "charlie")
    assert_turned_away(cold_bed, stranger, "node charlie; node bob was expected")


def test_an_application_is_no_node(cold_bed: Testbed) -> None:
    """An application's certificate opens no link, from outside or in the node's own place."""
    application = cold_bed.bob.site.application.own
    assert_turned_away(cold_bed, application, "application sae-bob; a link takes node certificates")

    use(cold_bed.bob, application)
    cold_bed.bob.start()
    assert cold_bed.bob.wait() == 1
    (line,) = cold_bed.bob.errors.read_text().splitlines()
    assert "sae-bob" in line
    assert "not of node bob" in line


def test_a_node_is_no_application(cold_bed: Testbed) -> None:
    """A node's certificate draws no key."""
    alice = cold_bed.alice
    alice.start()
    until(alice.status, "alice answers")
    pki = cold_bed.site.directory / "pki"
    drawn = qkd(
        "draw",
        alice.site.delivery_url,
        *("--slave", "sae-bob", "--ca", pki / "ca.pem"),
        *("--cert", pki / "node-bob.pem", "--key", pki / "node-bob.key"),
    )
    assert drawn.returncode == 1
    (line,) = drawn.stderr.splitlines()
    assert "refused (401)" in line


def refusals(cold_bed: Testbed) -> dict[str, str]:
    """Starts both ends and lets them try twice; the one cause that each gives."""
    cold_bed.alice.start()
    until(lambda: cold_bed.alice.log.events("link_listening"), "alice listens")
    cold_bed.bob.start()

    def failures(node: Node) -> list[str]:
        events = node.log.events("link_down") + node.log.events("link_refused")
        return [event["cause"] for event in events]

    for node in cold_bed.nodes.values():
        until(lambda node=node: len(failures(node)) >= 2, f"{node.name} is refused twice")
    causes = {}
    for name, node in cold_bed.nodes.items():
        (causes[name],) = set(failures(node))
        assert node.log.events("link_up") == []
        assert node.log.events("block_released") == []
        link = node.link()
        assert link is not None
        assert not link.peer_connected
        assert link.own_key_bits == link.redeemable_key_bits == 0
    assert_calm(cold_bed)
    return causes


def assert_calm(cold_bed: Testbed) -> None:
    for node in cold_bed.nodes.values():
        assert node.alive
        assert node.errors.read_text() == ""
        assert "Traceback" not in node.log.path.read_text()
        assert node.log.events("library") == []


def assert_turned_away(cold_bed: Testbed, stranger: Credentials, cause: str) -> None:
    """Alice takes no link from the owner of this certificate and says why in her log."""
    alice = cold_bed.alice
    alice.start()
    (listening,) = until(lambda: alice.log.events("link_listening"), "alice listens")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cold_bed.site.directory / "pki/ca.pem")
    context.load_cert_chain(stranger.certificate, stranger.key)
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

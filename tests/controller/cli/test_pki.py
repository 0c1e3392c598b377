"""qkd pki: the authority's certificates say who is who, and nothing is overwritten."""

import argparse
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from qkd_controller.cli import pki
from qkd_controller.config.identity import (
    Identity,
    IdentityError,
    certificate_identity,
    require_loopback_for_demo,
)


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    pki.add_parser(parser.add_subparsers())
    args = parser.parse_args(["pki", *arguments])
    result = args.run(args)
    assert isinstance(result, int)
    return result


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def identity(path: Path) -> Identity:
    return certificate_identity(load(path).public_bytes(Encoding.DER))


def test_node_and_application_certificates_verify_and_carry_distinct_roles(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    assert command("init", str(directory)) == 0
    assert command("node", "alice", "--dir", str(directory), "--host", "node.example") == 0
    assert command("sae", "app-1", "--dir", str(directory)) == 0
    assert identity(directory / "node-alice.pem") == Identity("node", "alice")
    assert identity(directory / "sae-app-1.pem") == Identity("sae", "app-1")

    policy = PolicyBuilder().store(Store([load(directory / "ca.pem")]))
    server = policy.build_server_verifier(x509.DNSName("node.example"))
    client = policy.build_client_verifier()
    server.verify(load(directory / "node-alice.pem"), [])
    client.verify(load(directory / "node-alice.pem"), [])
    client.verify(load(directory / "sae-app-1.pem"), [])
    with pytest.raises(VerificationError):
        server.verify(load(directory / "sae-app-1.pem"), [])


def test_files_are_private_and_loadable_by_tls(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    authority = pki.make_authority(directory)
    node = pki.make_certificate(directory, "node", "bob")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(node.certificate, node.key)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    pki.make_authority(tmp_path)
    pki.make_certificate(tmp_path, "sae", "app")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(pki.PkiError, match="exists already"):
        pki.make_authority(tmp_path)
    with pytest.raises(pki.PkiError, match="exists already"):
        pki.make_certificate(tmp_path, "sae", "app")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("demo", [True, False])
def test_a_demonstration_authority_marks_every_certificate(tmp_path: Path, demo: bool) -> None:
    pki.make_authority(tmp_path, demo=demo)
    made = pki.make_certificate(tmp_path, "node", "alice")
    assert identity(made.certificate).demo is demo
    assert (
        load(made.certificate).not_valid_after_utc <= load(tmp_path / "ca.pem").not_valid_after_utc
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_a_demonstration_certificate_serves_on_loopback(host: str) -> None:
    require_loopback_for_demo(Identity("node", "alice", demo=True), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "node.example"])
def test_a_demonstration_certificate_serves_nowhere_else(host: str) -> None:
    require_loopback_for_demo(Identity("node", "alice", demo=False), host)
    with pytest.raises(IdentityError, match="loopback addresses only"):
        require_loopback_for_demo(Identity("node", "alice", demo=True), host)


def test_a_missing_or_damaged_authority_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(pki.PkiError, match="qkd pki init"):
        pki.make_certificate(tmp_path, "node", "alice")
    pki.make_authority(tmp_path)
    (tmp_path / "ca.key").write_bytes(b"garbage")
    with pytest.raises(pki.PkiError, match="cannot be read"):
        pki.make_certificate(tmp_path, "node", "alice")


def test_a_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "open"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    with pytest.raises(pki.PkiError, match="chmod 700"):
        pki.make_authority(directory)
    assert not list(directory.iterdir())


@pytest.mark.parametrize("name", ["", "a b", "../escape"])
def test_a_name_unfit_for_a_uri_makes_no_file(tmp_path: Path, name: str) -> None:
    pki.make_authority(tmp_path)
    with pytest.raises(IdentityError):
        pki.make_certificate(tmp_path, "node", name)
    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem", "ca.key"}

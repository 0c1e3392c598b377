"""A certificate speaks for exactly one node or one application."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from qkd_controller.config.identity import (
    DEMO_UNIT,
    Identity,
    IdentityError,
    certificate_identity,
    identity_uri,
)


def certificate(uris: list[str], *, unit: str = "", other_names: bool = False) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = [x509.NameAttribute(NameOID.COMMON_NAME, "urn:qkd:node:mallory")]
    if unit:
        issuer.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    if other_names:
        names.append(x509.DNSName("localhost"))
    start = datetime.datetime(2026, 1, 1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(issuer))
        .issuer_name(x509.Name(issuer))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("role", ["node", "sae"])
def test_the_one_uri_names_the_owner(role: str) -> None:
    der = certificate([f"urn:qkd:{role}:alice-1"], other_names=True)
    assert certificate_identity(der) == Identity(role, "alice-1", demo=False)  # type: ignore[arg-type]


def test_an_issuer_of_the_demonstration_marks_its_certificates() -> None:
    assert certificate_identity(certificate(["urn:qkd:node:alice"], unit=DEMO_UNIT)).demo
    assert not certificate_identity(certificate(["urn:qkd:node:alice"], unit="Optics")).demo


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["urn:qkd:node:alice", "urn:qkd:sae:alice"],
        ["urn:qkd:node:alice", "https://example.org/"],
        ["https://example.org/"],
        ["urn:qkd:operator:alice"],
        ["urn:qkd:node:"],
        ["urn:qkd:sae:a/b"],
        ["urn:qkd:node:.."],
        ["urn:qkd:node:-v"],
        ["URN:QKD:NODE:alice"],
        ["urn:qkd:node:" + "a" * 65],
    ],
)
def test_anything_else_is_refused_naming_what_was_found(uris: list[str]) -> None:
    with pytest.raises(IdentityError) as refusal:
        certificate_identity(certificate(uris, other_names=True))
    found = uris[0].removeprefix("urn:qkd:node:").removeprefix("urn:qkd:sae:") if uris else "none"
    assert found in str(refusal.value)


def test_a_common_name_is_no_identity() -> None:
    with pytest.raises(IdentityError, match="found none"):
        certificate_identity(certificate([]))


@pytest.mark.parametrize("der", [b"", b"not a certificate", b"\x30\x03\x02\x01\x01"])
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(IdentityError, match="cannot be read"):
        certificate_identity(der)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a:b", "a" * 65, "a\n"])
def test_a_name_that_does_not_stand_in_a_uri_is_refused(name: str) -> None:
    with pytest.raises(IdentityError):
        identity_uri("sae", name)

"""qkd pki: a small certificate authority for development and closed sites."""

import argparse
import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qkd_controller.config.errors import QkdError
from qkd_controller.config.identity import DEMO_UNIT, Role, identity_uri


class PkiError(QkdError):
    """A certificate or key cannot be made or read."""


@dataclass(frozen=True)
class Credentials:
    """Where one owner's PEM files are."""

    certificate: Path
    key: Path


def make_authority(directory: Path, demo: bool = False) -> Credentials:
    """A new authority: ``ca.pem`` and ``ca.key`` in a directory of mode 0700.

    With demo, every certificate it signs is marked (see Identity.demo) and lasts 30 days.
    Raises PkiError if there is one already, or if others can look into the directory.
    """
    made = Credentials(directory / "ca.pem", directory / "ca.key")
    _require_absent(made)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("qkdlink authority", demo)
    certificate = (
        _builder(name, name, key.public_key(), _lifetime(demo, datetime.timedelta(days=3650)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _make_private_directory(directory)
    _write_pair(made, certificate, key)
    return made


def make_certificate(
    directory: Path,
    role: Role,
    name: str,
    hosts: Sequence[str] = ("localhost", "127.0.0.1"),
) -> Credentials:
    """A certificate by the directory's authority: ``<role>-<name>.pem`` and ``.key``.

    Its identity is the URI of identity_uri(). A node's also names the hosts it serves on and is
    good for both sides of TLS; an application's is good for a client only (RFC 5280 clause
    4.2.1.12). Raises PkiError if it exists already or the authority cannot be read.
    """
    identity = x509.UniformResourceIdentifier(identity_uri(role, name))
    authority = Credentials(directory / "ca.pem", directory / "ca.key")
    made = Credentials(directory / f"{role}-{name}.pem", directory / f"{role}-{name}.key")
    _require_absent(made)
    issuer, issuer_key = _read_authority(authority)
    demo = any(
        unit.value == DEMO_UNIT
        for unit in issuer.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    )
    names: list[x509.GeneralName] = [identity]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role == "node":
        names += [_general_name(host) for host in hosts]
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    key = ec.generate_private_key(ec.SECP256R1())
    lifetime = _lifetime(demo, datetime.timedelta(days=397))
    expiry = min(lifetime[1], issuer.not_valid_after_utc)
    certificate = (
        _builder(_subject(name, demo), issuer.subject, key.public_key(), (lifetime[0], expiry))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    _write_pair(made, certificate, key)
    return made


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``qkd pki`` to the command."""
    parser = subparsers.add_parser("pki", help="make an authority and its certificates")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", required=True)
    init = actions.add_parser("init", help="make an authority")
    init.add_argument("directory", type=Path, metavar="DIR")
    init.add_argument(
        "--demo", action="store_true", help="mark its certificates as good on loopback only"
    )
    for role, metavar, what in (("node", "NAME", "a node"), ("sae", "ID", "an application")):
        action = actions.add_parser(role, help=f"make the certificate of {what}")
        action.add_argument("name", metavar=metavar)
        action.add_argument(
            "--dir",
            dest="directory",
            type=Path,
            default=Path(),
            metavar="DIR",
            help="where the authority is (default: here)",
        )
        if role == "node":
            action.add_argument(
                "--host",
                dest="hosts",
                action="append",
                help="a name or address it serves on; may be repeated"
                " (default: localhost and 127.0.0.1)",
            )


def run(args: argparse.Namespace) -> int:
    """Runs ``qkd pki``."""
    if args.action == "init":
        made = make_authority(args.directory, args.demo)
    elif getattr(args, "hosts", None):
        made = make_certificate(args.directory, args.action, args.name, args.hosts)
    else:
        made = make_certificate(args.directory, args.action, args.name)
    print(f"certificate {made.certificate}\nprivate key {made.key}")
    return 0


def _subject(common_name: str, demo: bool) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if demo:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, DEMO_UNIT))
    return x509.Name(attributes)


def _lifetime(
    demo: bool, longest: datetime.timedelta
) -> tuple[datetime.datetime, datetime.datetime]:
    now = datetime.datetime.now(datetime.UTC)
    # An hour back: the clocks of two machines seldom agree to the second.
    start = now - datetime.timedelta(hours=1)
    return start, now + (datetime.timedelta(days=30) if demo else longest)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    lifetime: tuple[datetime.datetime, datetime.datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(lifetime[0])
        .not_valid_after(lifetime[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise PkiError(f"{host!r} is neither a host name nor an address: {error}") from error


def _read_authority(
    authority: Credentials,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    directory = authority.certificate.parent
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
        key = serialization.load_pem_private_key(authority.key.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise PkiError(
            f"no authority in {directory} ({error.filename} is missing);"
            f" make one with: qkd pki init {directory}"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise PkiError(f"the authority in {directory} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{authority.key} holds no elliptic-curve key; make a new authority")
    return certificate, key


def _require_absent(made: Credentials) -> None:
    for path in (made.certificate, made.key):
        if path.exists():
            raise PkiError(f"{path} exists already and is kept; remove it first to make a new one")


def _make_private_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PkiError(f"{directory} cannot be made: {error.strerror}") from error
    if directory.stat().st_mode & 0o077:
        raise PkiError(f"{directory} is open to other users; close it with: chmod 700 {directory}")


def _write_pair(
    made: Credentials, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write_private(made.key, pem)
    _write_private(made.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _write_private(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise PkiError(f"{path} cannot be written: {error.strerror}") from error

"""Who a certificate speaks for: a node or an application, never both."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

from qkd_controller.config.errors import QkdError

Role = Literal["node", "sae"]

DEMO_UNIT = "qkdlink demonstration: loopback only"
"""Organisational unit of an authority whose certificates are good for a demonstration only."""


class IdentityError(QkdError):
    """A certificate that names no identity of ours, or more than one."""


@dataclass(frozen=True)
class Identity:
    """The one identity that a certificate carries."""

    role: Role
    name: str
    demo: bool = False
    """Issued by a demonstration authority; a node takes it on loopback addresses only."""


def identity_uri(role: Role, name: str) -> str:
    """The URI that names an identity in a certificate; raises IdentityError for an unusable name.

    A name is 1 to 64 visible ASCII characters that stand in a URI as they are, and cannot be
    mistaken for an option or a folder.
    """
    if fault := name_fault(name, role):
        raise IdentityError(fault)
    return f"urn:qkd:{role}:{name}"


def name_fault(name: str, what: str) -> str:
    """Why a node, an application or a link cannot have this name; empty if it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", name):
        return ""
    return (
        f"{name!r} cannot name a {what}: use 1 to 64 letters, digits and any of - . _ ~, "
        "a letter or digit first"
    )


def certificate_identity(der: bytes) -> Identity:
    """The identity in a DER certificate whose chain has already been verified.

    It is the only URI among the subject alternative names (RFC 5280 clause 4.2.1.6),
    ``urn:qkd:node:<name>`` or ``urn:qkd:sae:<id>``. Raises IdentityError for anything else.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        units = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    except x509.ExtensionNotFound:
        uris, units = [], []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise IdentityError(f"the certificate cannot be read: {error}") from error
    if len(uris) != 1:
        found = ", ".join(uris) if uris else "none"
        raise IdentityError(
            "a certificate must name its owner in exactly one URI among its subject alternative"
            f" names, urn:qkd:node:<name> or urn:qkd:sae:<id>; found {found}"
        )
    demo = any(unit.value == DEMO_UNIT for unit in units)
    return _parse(uris[0], demo)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_loopback_for_demo(identity: Identity, host: str) -> None:
    """Raises IdentityError if a demonstration certificate would serve beyond this machine."""
    if identity.demo and not is_loopback(host):
        raise IdentityError(
            f"the certificate of {identity.role} {identity.name} is for demonstrations and works on"
            f" loopback addresses only, not on {host or 'every address'}; make real certificates"
            " with: qkd pki init"
        )


def _parse(uri: str, demo: bool) -> Identity:
    for role in ("node", "sae"):
        prefix = f"urn:qkd:{role}:"
        if uri.startswith(prefix):
            name = uri.removeprefix(prefix)
            identity_uri(role, name)
            return Identity(role, name, demo)
    raise IdentityError(
        f"the certificate names {uri}, which is neither urn:qkd:node:<name> nor urn:qkd:sae:<id>"
    )

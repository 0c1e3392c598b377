"""TLS 1.3 between the two nodes of a link, each with a certificate that names it."""

import ssl
from pathlib import Path

from qkd_controller.config.errors import ConfigError
from qkd_controller.config.identity import (
    Identity,
    IdentityError,
    certificate_identity,
    require_loopback_for_demo,
)
from qkd_controller.config.node import Tls
from qkd_controller.link.errors import AuthenticationError


def server_context(tls: Tls) -> ssl.SSLContext:
    """For the listener; raises ConfigError if the files cannot be used."""
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)


def client_context(tls: Tls) -> ssl.SSLContext:
    """For the connecting end; raises ConfigError if the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The peer is who its certificate's URI says, wherever it lives; check_peer() compares that.
    context.check_hostname = False
    return _loaded(context, tls)


def check_own(tls: Tls, own: str, host: str) -> None:
    """Raises ConfigError unless the certificate is this node's and may be used at this address."""
    try:
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(Path(tls.certificate).read_text()))
        identity = certificate_identity(der)
        _check_node(identity, own)
        require_loopback_for_demo(identity, host)
    except (OSError, ValueError, IdentityError, AuthenticationError) as error:
        raise ConfigError([f"{tls.certificate}: {error}"]) from None


def check_peer(der: bytes | None, peer: str) -> None:
    """Raises AuthenticationError unless this is the node certificate of the peer."""
    if der is None:
        raise AuthenticationError(f"no certificate was shown; node {peer} was expected")
    try:
        _check_node(certificate_identity(der), peer)
    except IdentityError as error:
        raise AuthenticationError(str(error)) from None


def _check_node(identity: Identity, name: str) -> None:
    if identity.role != "node":
        raise AuthenticationError(
            f"the certificate is of application {identity.name}; a link takes node certificates"
        )
    if identity.name != name:
        raise AuthenticationError(
            f"the certificate is of node {identity.name}; node {name} was expected"
        )


def _loaded(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    files = f"{tls.certificate}, {tls.key}"
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        files = tls.ca
        context.load_verify_locations(tls.ca)
    except OSError as error:
        cause = error.strerror or str(error)
        raise ConfigError([f"{files}: cannot be used for TLS: {cause}"]) from None
    return context


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    head, found, _ = pem.partition(end)
    return head[head.find("-----BEGIN CERTIFICATE-----") :] + found

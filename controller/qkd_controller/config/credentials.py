"""Whether a node's TLS files can be used, before anything is opened: each fault a line."""

import datetime
import os
import ssl
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from qkd_controller.config.check import addresses, split_address
from qkd_controller.config.errors import QkdError
from qkd_controller.config.identity import certificate_identity, require_loopback_for_demo
from qkd_controller.config.parts import Parts


def credential_faults(parts: Parts) -> list[str]:
    """Faults of the files that ``tls`` names, one by one and against the rest of a node file."""
    files: dict[str, Path] = {}
    faults = []
    for setting in ("tls.ca", "tls.certificate", "tls.key"):
        if setting in parts:
            fault = _file_fault(setting, Path(parts[setting]))
            if fault:
                faults.append(fault)
            else:
                files[setting] = Path(parts[setting])
    if "tls.ca" in files:
        faults += _authority_faults(files["tls.ca"])
    if "tls.certificate" in files:
        faults += _certificate_faults(files["tls.certificate"], parts)
    if "tls.key" in files:
        faults += _key_faults(files["tls.key"], files.get("tls.certificate"))
    return faults


def _file_fault(setting: str, path: Path) -> str:
    if not path.is_file():
        return f"{setting}: no file {path}"
    if not os.access(path, os.R_OK):
        return f"{setting}: {path} cannot be read by this user"
    if setting == "tls.key" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return f"tls.key: {path} can be read by others; chmod 600 it"
    return ""


def _authority_faults(path: Path) -> list[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (OSError, ValueError) as error:
        return [f"tls.ca: {path} holds no certificate of an authority: {_reason(error)}"]
    return []


def _certificate_faults(path: Path, parts: Parts) -> list[str]:
    """Whether the certificate is this node's own, of this day, and good for these addresses."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        identity = certificate_identity(certificate.public_bytes(Encoding.DER))
    except (OSError, ValueError, QkdError) as error:
        return [f"tls.certificate: {path}: {error}"]
    faults = []
    if identity.role != "node" or identity.name != parts.get("name", identity.name):
        whose = f"node {parts['name']}" if "name" in parts else "a node"
        faults.append(
            f"tls.certificate: {path} is of {identity.role} {identity.name}, not of {whose}"
        )
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= datetime.datetime.now(datetime.UTC) <= last:
        faults.append(f"tls.certificate: {path} is good from {first:%F} to {last:%F} only")
    for setting, address in addresses(parts).items():
        try:
            require_loopback_for_demo(identity, split_address(address)[0])
        except ValueError:
            continue  # told as a fault of the address itself
        except QkdError as error:
            faults.append(f"{setting}: {error}")
    return faults


def _key_faults(path: Path, certificate: Path | None) -> list[str]:
    try:
        load_pem_private_key(path.read_bytes(), password=None)
    except TypeError:
        return [f"tls.key: {path} is encrypted, and a node has nobody to ask for its password"]
    except (OSError, ValueError) as error:
        return [f"tls.key: {path} holds no private key: {_reason(error)}"]
    if certificate is None:
        return []
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, path, _no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"tls.key: {path} is the key of another certificate than {certificate}"]
        return [f"tls: {certificate} and {path} cannot be used together: {_reason(error)}"]
    return []


def _no_password() -> str:
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error)

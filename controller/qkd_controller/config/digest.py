"""A digest of the link file, whole and field by field, to be compared with the peer's."""

import hashlib
from typing import Any

import msgspec

from qkd_controller.config.link import LinkFile


def link_digest(link: LinkFile) -> bytes:
    """SHA-256 over all fields of the link file, 32 bytes."""
    whole = hashlib.sha256()
    for name, digest in field_digests(link).items():
        whole.update(name.encode() + b"\0" + digest)
    return whole.digest()


def field_digests(link: LinkFile) -> dict[str, bytes]:
    """An 8-byte digest a field, by dotted name in order, so that differing fields can be named."""
    return {
        name: hashlib.sha256(msgspec.json.encode([name, value])).digest()[:8]
        for name, value in sorted(_flat(msgspec.to_builtins(link), "").items())
    }


def _flat(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {where: value}
    prefix = f"{where}." if where else ""
    return {k: v for key, item in value.items() for k, v in _flat(item, prefix + key).items()}

"""The pairing secret: made once, carried by hand to both ends, erased on import.

The file, version 1: the line ``qkdlink pairing 1``; one line of JSON that names the link, both
nodes, the commit leader and the pads' length; two hash keys of 16 bytes; the check key and the
key-id key of 32 bytes each; the pads leader → follower and follower → leader; SHA-256 of it all.
"""

import hashlib
import os
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from qkd_controller.config.link import LinkFile
from qkd_controller.keys.contract import Half, PairingKeys
from qkd_controller.keys.errors import PairingError
from qkd_controller.keys.line import ByteLine
from qkd_controller.keys.link_store import PAD_LINES, POOL_LINES
from qkd_controller.keys.store import KeyStore

HASH_KEY_BYTES = 16
OTHER_KEY_BYTES = 32

_MAGIC = b"qkdlink pairing 1\n"
_CHECKSUM_BYTES = 32
_LARGEST_FILE_BYTES = 1 << 31


class PairingHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public part of a pairing file."""

    pairing: str
    """Random name of this secret; a node takes each only once."""
    link: str
    nodes: tuple[str, str]
    commit_leader: str
    pad_bytes: int
    """Of each direction."""


@dataclass(frozen=True, repr=False)
class PairingSecret:
    """What a pairing file holds."""

    header: PairingHeader
    keys: PairingKeys
    pads: tuple[bytearray, bytearray]

    def wipe(self) -> None:
        """Overwrites the pads; the short keys are immutable and left to the collector."""
        for pad in self.pads:
            pad[:] = bytes(len(pad))


def make_pairing(link: LinkFile, pad_bytes: int) -> PairingSecret:
    """A fresh secret for this link, from the operating system's generator."""
    header = PairingHeader(
        pairing=secrets.token_hex(16),
        link=link.name,
        nodes=link.nodes,
        commit_leader=link.roles.commit_leader,
        pad_bytes=pad_bytes,
    )
    keys = PairingKeys(
        (secrets.token_bytes(HASH_KEY_BYTES), secrets.token_bytes(HASH_KEY_BYTES)),
        secrets.token_bytes(OTHER_KEY_BYTES),
        secrets.token_bytes(OTHER_KEY_BYTES),
    )
    pads = (bytearray(os.urandom(pad_bytes)), bytearray(os.urandom(pad_bytes)))
    return PairingSecret(header, keys, pads)


def write_pairing(path: Path, secret: PairingSecret) -> None:
    """Writes a new 0600 file, durably; raises PairingError if there is one of that name."""
    parts = (
        _MAGIC,
        msgspec.json.encode(secret.header) + b"\n",
        *secret.keys.hash_keys,
        secret.keys.check_key,
        secret.keys.key_id_key,
        *secret.pads,
    )
    checksum = hashlib.sha256()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise PairingError(
            f"{path} exists already and is kept; choose another name, or erase it first"
        ) from error
    except OSError as error:
        raise PairingError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                checksum.update(part)
                file.write(part)
            file.write(checksum.digest())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        erase_file(path)
        raise PairingError(f"{path} cannot be written: {error.strerror}") from error


def read_pairing(path: Path) -> PairingSecret:
    """Reads a pairing file; raises PairingError if it is none, damaged, or of another version."""
    content = _read(path)
    try:
        return _parse(path, memoryview(content))
    finally:
        content[:] = bytes(len(content))


def erase_file(path: Path) -> None:
    """Overwrites a file with zeros, durably, and removes it; raises PairingError.

    Flash media write elsewhere what is overwritten and may keep the old content until the cells
    are reused.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(bytes(min(left, 1 << 20)))
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise PairingError(
            f"{path} cannot be erased ({error.strerror}) and still holds the secret; destroy it"
        ) from error


def import_pairing(
    store: KeyStore,
    secret: PairingSecret,
    node: str,
    replace: bool = False,
    discard_keys: bool = False,
) -> None:
    """Makes the secret that of the link at this node; raises PairingError, changing nothing.

    A secret is never taken twice, since its pads may be spent. A link already paired is refused
    without replace, which forgets everything of the old pairing; while blocks are prepared or
    keys are undelivered it needs discard_keys as well, for these are lost.
    """
    header = secret.header
    if node not in header.nodes:
        raise PairingError(
            f"the pairing is between {' and '.join(header.nodes)}, and this node is {node}"
        )
    peer = header.nodes[1] if node == header.nodes[0] else header.nodes[0]
    half = Half.LEADER if node == header.commit_leader else Half.FOLLOWER
    with store.transaction(wipes=True) as connection:
        seen = connection.execute(
            "SELECT 1 FROM imported_pairing WHERE pairing = ?", (header.pairing,)
        ).fetchone()
        if seen:
            raise PairingError(
                "this pairing file was imported here before and its pads may be spent; destroy"
                " this copy, and make a new one with: qkd pair new"
            )
        row = connection.execute("SELECT id FROM link WHERE name = ?", (header.link,)).fetchone()
        if row and not replace:
            raise PairingError(
                f"link {header.link} is paired already; to give up the old pairing at both ends"
                " use --replace"
            )
        if row:
            kept = _kept(connection, int(row[0]))
            if kept and not discard_keys:
                raise PairingError(
                    f"link {header.link} still holds {kept}, which a new pairing would destroy:"
                    " let the link settle and the applications draw their keys, or give them up at"
                    " both ends with --discard-keys"
                )
            connection.execute("DELETE FROM link WHERE id = ?", row)
        other = connection.execute("SELECT name FROM link WHERE peer = ?", (peer,)).fetchone()
        if other:
            raise PairingError(
                f"node {node} shares link {other[0]} with {peer} already, and keeps one pool a"
                " peer; two links between the same nodes are not supported"
            )
        link = connection.execute(
            "INSERT INTO link (name, node, peer, own_half, pairing, hash_key_0, hash_key_1,"
            " check_key, key_id_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                header.link,
                node,
                peer,
                int(half),
                header.pairing,
                *secret.keys.hash_keys,
                secret.keys.check_key,
                secret.keys.key_id_key,
            ),
        ).lastrowid
        assert link is not None
        for name in POOL_LINES:
            ByteLine.create(connection, link, name)
        for name, pad in zip(PAD_LINES, secret.pads, strict=True):
            ByteLine.create(connection, link, name).append(memoryview(pad))
        connection.execute(
            "INSERT INTO imported_pairing VALUES (?, ?, ?)",
            (header.pairing, header.link, int(time.time())),
        )


def _kept(connection: sqlite3.Connection, link: int) -> str:
    """In words, what of this link is not to be lost unasked; empty for nothing."""
    prepared = connection.execute(
        "SELECT count(*) FROM block WHERE link = ? AND state = 'prepared'", (link,)
    ).fetchone()[0]
    key_bytes = connection.execute(
        "SELECT sum(end - taken) FROM line WHERE link = ? AND name IN (?, ?)",
        (link, *POOL_LINES),
    ).fetchone()[0]
    parts = []
    if prepared:
        parts.append(f"{prepared} prepared blocks")
    if key_bytes:
        parts.append(f"{8 * key_bytes} undelivered bits of key")
    return " and ".join(parts)


def _read(path: Path) -> bytearray:
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST_FILE_BYTES:
                raise PairingError(f"{path} is no pairing file: {size} bytes are too many")
            content = bytearray(size)
            view, filled = memoryview(content), 0
            while filled < size and (count := file.readinto(view[filled:])):
                filled += count
    except OSError as error:
        raise PairingError(f"{path} cannot be read: {error.strerror}") from error
    return content


def _parse(path: Path, content: memoryview) -> PairingSecret:
    damaged = PairingError(f"{path} is damaged; copy it again from where it was made")
    if bytes(content[: len(_MAGIC)]) != _MAGIC:
        if bytes(content[:16]) == _MAGIC[:16]:
            raise PairingError(
                f"{path} is a pairing file of another version or damaged; this program reads"
                " version 1"
            )
        raise PairingError(f"{path} is no pairing file; make one with: qkd pair new")
    body = content[:-_CHECKSUM_BYTES]
    if hashlib.sha256(body).digest() != content[-_CHECKSUM_BYTES:]:
        raise damaged
    line_end = bytes(body[: len(_MAGIC) + 4096]).find(b"\n", len(_MAGIC))
    try:
        header = msgspec.json.decode(body[len(_MAGIC) : line_end], type=PairingHeader)
    except msgspec.MsgspecError:
        raise damaged from None
    lengths = (
        *(HASH_KEY_BYTES, HASH_KEY_BYTES),
        *(OTHER_KEY_BYTES, OTHER_KEY_BYTES),
        *(header.pad_bytes, header.pad_bytes),
    )
    secret = body[line_end + 1 :]
    if header.pad_bytes < 0 or len(secret) != sum(lengths):
        raise damaged
    parts = []
    for length in lengths:
        parts.append(secret[:length])
        secret = secret[length:]
    keys = PairingKeys((bytes(parts[0]), bytes(parts[1])), bytes(parts[2]), bytes(parts[3]))
    return PairingSecret(header, keys, (bytearray(parts[4]), bytearray(parts[5])))

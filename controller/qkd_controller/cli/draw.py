"""qkd draw: asks a node for keys as an application does, through ETSI GS QKD 014."""

import argparse
import asyncio
import binascii
import hashlib
import os
import ssl
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import aiohttp
import msgspec

from qkd_controller.config.errors import QkdError

TIMEOUT_S = 30.0


class DrawError(QkdError):
    """No key came; status is that of the HTTP answer, 0 if there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, repr=False)
class DrawnKey:
    """A key as an application gets it."""

    key_id: uuid.UUID
    key: bytearray

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of SHA-256 of the key: enough to compare two ends."""
        return hashlib.sha256(self.key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"DrawnKey({self.key_id}, fingerprint {self.fingerprint})"


def client_context(certificate: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """TLS with an application's certificate, trusting this authority; raises DrawError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise DrawError(
            f"{ca}, {certificate} and {key} cannot be used together: {error}"
        ) from error
    return context


async def request_keys(
    url: str,
    context: ssl.SSLContext,
    slave: str,
    number: int = 1,
    size_bits: int | None = None,
) -> list[DrawnKey]:
    """New keys to share with a slave application; size_bits None for the node's default.

    The URL is that of the node, ``https://host:port``. Raises DrawError.
    """
    body: dict[str, Any] = {"number": number}
    if size_bits is not None:
        body["size"] = size_bits
    return await _post(url, context, slave, "enc_keys", body)


async def request_keys_by_id(
    url: str, context: ssl.SSLContext, master: str, key_ids: Sequence[uuid.UUID]
) -> list[DrawnKey]:
    """The keys that a master application got under these IDs at the other end; raises DrawError."""
    body = {"key_IDs": [{"key_ID": str(key_id)} for key_id in key_ids]}
    return await _post(url, context, master, "dec_keys", body)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``qkd draw`` to the command."""
    parser = subparsers.add_parser(
        "draw", help="draw keys from a node, showing their IDs and fingerprints"
    )
    parser.set_defaults(run=run)
    parser.add_argument("url", metavar="URL", help="https://host:port of the node")
    parser.add_argument("--cert", type=Path, required=True, help="the application's certificate")
    parser.add_argument("--key", type=Path, required=True, help="the application's private key")
    parser.add_argument("--ca", type=Path, required=True, help="the authority of the node")
    other = parser.add_mutually_exclusive_group(required=True)
    other.add_argument("--slave", metavar="ID", help="get new keys to share with this application")
    other.add_argument("--master", metavar="ID", help="get the keys that this application drew")
    parser.add_argument("--number", type=int, default=1, help="how many new keys (default: 1)")
    parser.add_argument("--size", type=int, help="bits of each new key (default: the node's)")
    parser.add_argument(
        "--key-id",
        type=uuid.UUID,
        action="append",
        metavar="UUID",
        help="with --master; repeatable",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write IDs and keys (hexadecimal) to a new file"
    )


def run(args: argparse.Namespace) -> int:
    """Runs ``qkd draw``."""
    if bool(args.master) != bool(args.key_id):
        print("qkd draw: --master needs --key-id, and only --master does", file=sys.stderr)
        return 2
    context = client_context(args.cert, args.key, args.ca)
    # Opened first: a key that cannot be written would be lost, for it is delivered once.
    out = None if args.out is None else _create(args.out)
    try:
        if args.master:
            coroutine = request_keys_by_id(args.url, context, args.master, args.key_id)
        else:
            coroutine = request_keys(args.url, context, args.slave, args.number, args.size)
        keys = asyncio.run(coroutine)
    except BaseException:
        if out is not None:
            out.close()
            args.out.unlink()
        raise
    if out is not None:
        _write(out, args.out, keys)
    for item in keys:
        print(f"{item.key_id} {8 * len(item.key)} bits, fingerprint {item.fingerprint}")
    return 0


class _Key(msgspec.Struct):
    key_ID: str
    key: str


class _Container(msgspec.Struct):
    keys: list[_Key]


class _Error(msgspec.Struct):
    message: str


async def _post(
    url: str, context: ssl.SSLContext, other: str, method: str, body: dict[str, Any]
) -> list[DrawnKey]:
    path = f"{url.rstrip('/')}/api/v1/keys/{quote(other, safe='')}/{method}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.post(path, json=body, ssl=context) as response,
        ):
            status, content = response.status, await response.read()
    except aiohttp.InvalidURL as error:
        raise DrawError(f"{url!r} is no URL; give https://host:port") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DrawError(f"{url} does not answer: {error or 'time is out'}") from error
    if status != 200:
        raise DrawError(f"{url} refused ({status}): {_message(content)}", status)
    return _parsed(url, content)


def _message(content: bytes) -> str:
    try:
        return msgspec.json.decode(content, type=_Error).message
    except msgspec.MsgspecError:
        return "no reason given"


def _parsed(url: str, content: bytes) -> list[DrawnKey]:
    try:
        container = msgspec.json.decode(content, type=_Container)
        return [
            DrawnKey(uuid.UUID(item.key_ID), bytearray(binascii.a2b_base64(item.key)))
            for item in container.keys
        ]
    except (msgspec.MsgspecError, ValueError):
        raise DrawError(f"{url} answered something that is no key container", 200) from None


def _create(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise DrawError(f"{path} exists already and is kept; choose another name") from error
    except OSError as error:
        raise DrawError(f"{path} cannot be written: {error.strerror}") from error
    return os.fdopen(descriptor, "wb")


def _write(out: BinaryIO, path: Path, keys: list[DrawnKey]) -> None:
    try:
        with out:
            for item in keys:
                out.write(f"{item.key_id} {item.key.hex()}\n".encode())
    except OSError as error:
        raise DrawError(
            f"{path} cannot be written ({error.strerror}); the keys are lost: draw new ones"
        ) from error

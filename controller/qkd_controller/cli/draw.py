"""qkd draw: asks a node for keys as an application does, through ETSI GS QKD 014."""

import argparse
import asyncio
import binascii
import hashlib
import os
import re
import ssl
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote

import aiohttp
import msgspec

from qkd_controller.cli.pki import Credentials
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


@dataclass(frozen=True)
class AppCredentials:
    """The PEM files by which an application is known, and whom it trusts."""

    ca: Path
    own: Credentials


class KeyClient:
    """An application's connection to one node, an async context manager.

    The URL is that of the node, ``https://host:port``. Raises DrawError for credentials that
    cannot be read, for another URL, and whenever no key comes.
    """

    def __init__(self, url: str, application: AppCredentials) -> None:
        self._url = _checked_url(url)
        self._context = client_context(application)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "KeyClient":
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def request_keys(
        self, slave: str, number: int = 1, size_bits: int | None = None
    ) -> list[DrawnKey]:
        """New keys to share with a slave application; size_bits None for the node's default."""
        body: dict[str, Any] = {"number": number}
        if size_bits is not None:
            body["size"] = size_bits
        return await self._post(slave, "enc_keys", body)

    async def request_keys_by_id(self, master: str, key_ids: Sequence[uuid.UUID]) -> list[DrawnKey]:
        """The keys that a master application drew at the other end under these IDs."""
        body = {"key_IDs": [{"key_ID": str(key_id)} for key_id in key_ids]}
        return await self._post(master, "dec_keys", body)

    async def _post(self, other: str, method: str, body: dict[str, Any]) -> list[DrawnKey]:
        if self._session is None:
            raise RuntimeError("a KeyClient is used within async with")
        path = f"{self._url}/api/v1/keys/{quote(other, safe='')}/{method}"
        try:
            async with self._session.post(path, json=body, ssl=self._context) as response:
                status, content = response.status, await response.read()
        except aiohttp.InvalidURL as error:
            raise DrawError(f"{self._url!r} is no URL; give https://host:port") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DrawError(f"{self._url} does not answer: {_reason(error)}") from error
        if status != 200:
            raise DrawError(f"{self._url} refused ({status}): {_message(content)}", status)
        return _parsed(self._url, content)


def client_context(application: AppCredentials) -> ssl.SSLContext:
    """TLS as this application; raises DrawError."""
    own = application.own
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (application.ca, own.certificate, own.key):
        if not path.is_file():
            raise DrawError(f"there is no file {path}")
    try:
        context.load_verify_locations(application.ca)
        context.load_cert_chain(own.certificate, own.key)
    except OSError as error:
        raise DrawError(
            f"{application.ca}, {own.certificate} and {own.key} cannot be used together: {error}"
        ) from error
    return context


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
    other.add_argument(
        "--slave", type=_sae_id, metavar="ID", help="get new keys to share with this application"
    )
    other.add_argument(
        "--master", type=_sae_id, metavar="ID", help="get the keys that this application drew"
    )
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
    client = KeyClient(args.url, AppCredentials(args.ca, Credentials(args.cert, args.key)))
    # Opened first: a key that cannot be written would be lost, for it is delivered once.
    out = None if args.out is None else _create(args.out)
    try:
        keys = asyncio.run(_draw(client, args))
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


async def _draw(client: KeyClient, args: argparse.Namespace) -> list[DrawnKey]:
    async with client:
        if args.master:
            return await client.request_keys_by_id(args.master, args.key_id)
        return await client.request_keys(args.slave, args.number, args.size)


class _Key(msgspec.Struct):
    key_ID: str
    key: str


class _Container(msgspec.Struct):
    keys: list[_Key]


class _Error(msgspec.Struct):
    message: str


def _checked_url(url: str) -> str:
    if not re.fullmatch(r"https://[^/\s]+/?", url):
        raise DrawError(f"{url!r} is no URL of a node; give https://host:port")
    return url.rstrip("/")


def _sae_id(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an application's ID cannot be blank")
    return text


def _reason(error: aiohttp.ClientError | TimeoutError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        # In TLS 1.3 a client learns only after its handshake that its certificate was refused.
        return f"{error}; does the node trust this certificate's authority?"
    return str(error) or "time is out"


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

"""The HTTPS endpoint of ETSI GS QKD 014: mutual TLS, and who calls is what the certificate says."""

import asyncio
import functools
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qkd_controller.config.errors import QkdError
from qkd_controller.config.identity import (
    IdentityError,
    certificate_identity,
    require_loopback_for_demo,
)
from qkd_controller.config.node import Delivery, Tls
from qkd_controller.delivery.doorkeeper import Doorkeeper
from qkd_controller.delivery.errors import BadRequest, Refusal, Unauthorized
from qkd_controller.delivery.etsi014 import (
    Error,
    KeyDelivery,
    encode_keys,
    parse_key_ids,
    parse_key_request,
)
from qkd_controller.keys.pool import DeliveredKey, KeyPool

_log = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 1 << 18
SHUTDOWN_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class KeysDelivered:
    """Keys left the node."""

    method: str
    """``enc_keys`` or ``dec_keys``."""
    master: str
    slave: str
    number: int
    key_bits: int
    """Of each key."""


@dataclass(frozen=True)
class RequestRefused:
    """A request got an Error."""

    caller: str
    """SAE ID; empty if the certificate names no application."""
    path: str
    status: int
    message: str


@dataclass(frozen=True)
class StrangerRefused:
    """A connection did not get through the TLS handshake."""

    address: str
    """Of the other end, without its port."""
    cause: str


Event = KeysDelivered | RequestRefused | StrangerRefused


class DeliveryError(QkdError):
    """The endpoint cannot be opened."""


class DeliveryServer:
    """Serves one pool to the configured applications; an async context manager.

    Events are reported on the event loop; the callback must not block.
    """

    def __init__(
        self,
        config: Delivery,
        tls: Tls,
        pool: KeyPool,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._address = config.address
        self._tls = tls
        self._pool = pool
        self._delivery = KeyDelivery(config, pool)
        self._on_event = on_event
        self._runner: web.AppRunner | None = None
        self._door: Doorkeeper
        self._listener: asyncio.Server
        self.port = 0
        """The port it listens on, once started."""

    async def start(self) -> None:
        """Opens the endpoint; raises DeliveryError, or IdentityError for a misused certificate."""
        host, port = _split_address(self._address)
        context = await asyncio.to_thread(_server_context, self._tls, host)
        app = web.Application(middlewares=[self._answer], client_max_size=LARGEST_BODY_BYTES)
        keys = "/api/v1/keys"
        app.router.add_get(f"{keys}/{{slave}}/status", self._status, allow_head=False)
        for method in ("GET", "POST"):
            app.router.add_route(method, f"{keys}/{{slave}}/enc_keys", self._get_key)
            app.router.add_route(method, f"{keys}/{{master}}/dec_keys", self._get_key_with_ids)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        assert runner.server is not None
        door = Doorkeeper(context, runner.server, self._refused)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                door, host, port, backlog=128, reuse_address=True
            )
        except OSError as error:
            await runner.cleanup()
            raise DeliveryError(
                f"delivery cannot listen on {self._address}: {error.strerror}"
            ) from error
        self._runner, self._door = runner, door
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends open requests and closes; harmless if not started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._listener.close()
            await self._door.close()
            await runner.cleanup()

    def _refused(self, address: str, cause: str) -> None:
        self._on_event(StrangerRefused(address, cause))

    async def __aenter__(self) -> "DeliveryServer":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _status(self, request: web.Request) -> web.Response:
        caller, slave = _caller(request), request.match_info["slave"]
        status = await self._pool.in_thread(lambda: self._delivery.status(caller, slave))
        return _json(200, msgspec.json.encode(status))

    async def _get_key(self, request: web.Request) -> web.Response:
        caller, slave = _caller(request), request.match_info["slave"]
        asked = parse_key_request(_query(request), await request.read())
        keys = await self._pool.in_thread(lambda: self._delivery.get_key(caller, slave, asked))
        return self._deliver("enc_keys", caller, slave, keys)

    async def _get_key_with_ids(self, request: web.Request) -> web.Response:
        caller, master = _caller(request), request.match_info["master"]
        key_ids = parse_key_ids(_query(request), await request.read())
        keys = await self._pool.in_thread(
            lambda: self._delivery.get_key_with_ids(caller, master, key_ids)
        )
        return self._deliver("dec_keys", master, caller, keys)

    def _deliver(
        self, method: str, master: str, slave: str, keys: list[DeliveredKey]
    ) -> web.Response:
        event = KeysDelivered(method, master, slave, len(keys), 8 * len(keys[0].key))
        body = encode_keys(keys)
        self._on_event(event)
        return _json(200, body)

    @web.middleware
    async def _answer(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Turns whatever goes wrong into an Error, for every status a JSON body."""
        headers = {}
        try:
            return await handler(request)
        except Refusal as refusal:
            status, error = refusal.status, Error(refusal.message, refusal.details)
        except web.HTTPException as refusal:
            status, error = refusal.status, Error(refusal.reason.lower())
            headers = {
                name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers
            }
        except Exception:
            _log.exception("a request for %s failed unexpectedly", request.path)
            status, error = 503, Error("error on server side")
        self._on_event(
            RequestRefused(_caller_or_none(request), request.path, status, error.message)
        )
        return _json(status, msgspec.json.encode(error), headers)


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _query(request: web.Request) -> dict[str, str] | None:
    if request.method != "GET":
        return None
    if len(set(request.query)) < len(request.query):
        raise BadRequest("each parameter can be given once; use POST for several key_IDs")
    return dict(request.query)


def _caller(request: web.Request) -> str:
    """The SAE ID in the client's certificate, which TLS has verified; raises Unauthorized."""
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    if der is None:
        raise Unauthorized("a client certificate is needed")
    try:
        identity = _identity(der)
        require_loopback_for_demo(identity, request.remote or "")
    except IdentityError as error:
        raise Unauthorized(str(error)) from error
    if identity.role != "sae":
        raise Unauthorized(
            f"the certificate is that of {identity.role} {identity.name}; an SAE's is needed"
        )
    return identity.name


def _caller_or_none(request: web.Request) -> str:
    try:
        return _caller(request)
    except Unauthorized:
        return ""


_identity = functools.lru_cache(maxsize=256)(certificate_identity)


def _split_address(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise DeliveryError(f"delivery.address must be host:port, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _server_context(tls: Tls, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.verify_mode = ssl.CERT_REQUIRED
    for path in (tls.ca, tls.certificate, tls.key):
        if not Path(path).is_file():
            raise DeliveryError(f"{path} is missing; make certificates with: qkd pki")
    try:
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.certificate, tls.key)
        certificate = x509.load_pem_x509_certificate(Path(tls.certificate).read_bytes())
    except (OSError, ValueError) as error:
        raise DeliveryError(
            f"{tls.ca}, {tls.certificate} and {tls.key} cannot be used together: {error}"
        ) from error
    identity = certificate_identity(certificate.public_bytes(Encoding.DER))
    if identity.role != "node":
        raise DeliveryError(f"{tls.certificate} is that of an application; a node's is needed")
    require_loopback_for_demo(identity, host)
    return context

"""ETSI GS QKD 014 V1.1.1 as pure requests and responses: no socket, no TLS, no event loop.

Where the standard leaves a choice: a POST without a body is an empty request; members that the
standard does not know are ignored, and so is the body of a GET; an optional member may be null; key
IDs are taken in either case and given in lower case; optional extensions are ignored; an
application that names itself as its peer gets 400, one that names an application with which the
configuration does not pair it gets 401.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from qkd_controller.config.errors import ConfigError
from qkd_controller.config.node import Application, Delivery
from qkd_controller.delivery.errors import BadRequest, Unauthorized, Unavailable
from qkd_controller.keys.errors import (
    InsufficientKey,
    KeyNotFound,
    KeyOfOthers,
    StoreError,
)
from qkd_controller.keys.key_id import LARGEST_KEY_BITS
from qkd_controller.keys.pool import DeliveredKey, KeyPool

T = TypeVar("T")

MOST_KEYS = 10_000
"""That one request may be allowed to ask for: they are in memory together."""

_LARGEST_COUNT = 2**31 - 1


class Status(msgspec.Struct, frozen=True):
    """Clause 6.1; sizes in bits."""

    source_KME_ID: str
    target_KME_ID: str
    master_SAE_ID: str
    slave_SAE_ID: str
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_SAE_ID_count: int = 0


class KeyRequest(msgspec.Struct, frozen=True):
    """Clause 6.2."""

    number: int | None = None
    size: int | None = None
    additional_slave_SAE_IDs: tuple[str, ...] | None = None
    extension_mandatory: tuple[dict[str, Any], ...] | None = None
    extension_optional: tuple[dict[str, Any], ...] | None = None


class Key(msgspec.Struct, frozen=True):
    """One key of a container; its bytes are encoded in base64 (RFC 4648)."""

    key_ID: str
    key: bytearray

    def __repr__(self) -> str:
        return f"Key({self.key_ID})"


class KeyContainer(msgspec.Struct, frozen=True):
    """Clause 6.3."""

    keys: list[Key]


class KeyId(msgspec.Struct, frozen=True):
    """One key ID of a request."""

    key_ID: str


class KeyIds(msgspec.Struct, frozen=True):
    """Clause 6.4."""

    key_IDs: tuple[KeyId, ...]


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """Clause 6.5."""

    message: str
    details: list[dict[str, Any]] | None = None


def parse_key_request(query: Mapping[str, str] | None, body: bytes) -> KeyRequest:
    """The request of a GET's query, or of a POST's body if query is None; raises BadRequest."""
    if query is None:
        return _decoded(body, KeyRequest) if body.strip() else KeyRequest()
    values = {name: _integer(name, query[name]) for name in ("number", "size") if name in query}
    return _converted(values, KeyRequest)


def parse_key_ids(query: Mapping[str, str] | None, body: bytes) -> list[uuid.UUID]:
    """The key IDs of a GET's query, or of a POST's body if query is None; raises BadRequest."""
    if query is None:
        texts = [item.key_ID for item in _decoded(body, KeyIds).key_IDs]
    else:
        texts = [query["key_ID"]] if "key_ID" in query else []
    if not texts:
        raise BadRequest("at least one key_ID is needed")
    return [_uuid(text) for text in texts]


class KeyDelivery:
    """The three methods of clause 5, for one pool and its configured applications.

    Callers are named by their authenticated SAE IDs. Every method raises a Refusal; those that
    read the pool block, so an event loop calls them in a thread.
    """

    def __init__(self, config: Delivery, pool: KeyPool) -> None:
        """Raises ConfigError for limits that contradict each other."""
        faults = limit_faults(config)
        if faults:
            raise ConfigError(faults)
        self._config = config
        self._pool = pool
        self._applications = {a.sae_id: a for a in config.applications}

    def status(self, caller: str, slave: str) -> Status:
        """Get status (clause 5.1)."""
        self._authorize(caller, slave)
        config = self._config
        try:
            stored_bits = self._pool.status().own_bits
        except StoreError as error:
            raise _store_failed() from error
        return Status(
            source_KME_ID=config.kme_id,
            target_KME_ID=config.peer_kme_id,
            master_SAE_ID=caller,
            slave_SAE_ID=slave,
            key_size=config.default_key_bits,
            stored_key_count=min(stored_bits // config.default_key_bits, _LARGEST_COUNT),
            max_key_count=_LARGEST_COUNT,
            max_key_per_request=config.max_keys_per_request,
            max_key_size=config.max_key_bits,
            min_key_size=config.min_key_bits,
        )

    def get_key(self, caller: str, slave: str, request: KeyRequest) -> list[DeliveredKey]:
        """Get key (clause 5.2): new keys, gone from the pool before this returns."""
        self._authorize(caller, slave)
        number, size = self._checked(request)
        try:
            return self._pool.allocate(number, size, caller, slave)
        except InsufficientKey as error:
            raise Unavailable(str(error)) from error
        except StoreError as error:
            raise _store_failed() from error

    def get_key_with_ids(
        self, caller: str, master: str, key_ids: list[uuid.UUID]
    ) -> list[DeliveredKey]:
        """Get key with key IDs (clause 5.3): all of them or none, and only once."""
        self._authorize(caller, master)
        if len(key_ids) > self._config.max_keys_per_request:
            raise BadRequest(
                f"number of key_IDs shall not exceed {self._config.max_keys_per_request}"
            )
        try:
            return self._pool.redeem(key_ids, master, caller)
        except KeyOfOthers as error:
            raise Unauthorized(
                "one or more keys specified were not supplied for this pair of SAEs"
            ) from error
        except KeyNotFound as error:
            raise BadRequest("one or more keys specified are not found on KME") from error
        except StoreError as error:
            raise _store_failed() from error

    def _authorize(self, caller: str, other: str) -> Application:
        application = self._applications.get(caller)
        if application is None:
            raise Unauthorized(f"SAE {caller} is not configured at this KME")
        if not other.strip():
            raise BadRequest("the SAE ID in the URL is blank")
        if other == caller:
            raise BadRequest("the SAE ID in the URL is that of the requesting SAE")
        if other not in application.peer_sae_ids:
            raise Unauthorized(f"SAE {caller} may not share keys with SAE {other}")
        return application

    def _checked(self, request: KeyRequest) -> tuple[int, int]:
        config = self._config
        if request.additional_slave_SAE_IDs:
            raise BadRequest("additional_slave_SAE_IDs are not supported: max_SAE_ID_count is 0")
        if request.extension_mandatory:
            names = [name for extension in request.extension_mandatory for name in extension]
            raise BadRequest(
                "not all extension_mandatory parameters are supported",
                [{"extension_mandatory_unsupported": f"{name} is not supported"} for name in names],
            )
        number = 1 if request.number is None else request.number
        size = config.default_key_bits if request.size is None else request.size
        if number < 1:
            raise BadRequest(f"number shall be at least 1, not {number}")
        if number > config.max_keys_per_request:
            raise BadRequest(f"number shall not exceed {config.max_keys_per_request}")
        if size % 8:
            raise BadRequest("size shall be a multiple of 8")
        if not config.min_key_bits <= size <= config.max_key_bits:
            raise BadRequest(
                f"size shall be between {config.min_key_bits} and {config.max_key_bits}"
            )
        return number, size


def limit_faults(config: Delivery) -> list[str]:
    """What is wrong with the limits of a configuration; empty if keys can be delivered by it."""
    faults = []
    sizes = (config.min_key_bits, config.default_key_bits, config.max_key_bits)
    if list(sizes) != sorted(sizes) or sizes[0] < 8 or sizes[2] > LARGEST_KEY_BITS:
        faults.append(
            "delivery: 8 ≤ min_key_bits ≤ default_key_bits ≤ max_key_bits ≤"
            f" {LARGEST_KEY_BITS} must hold, and these are {', '.join(map(str, sizes))}"
        )
    faults += [
        f"delivery.{name}: must be a multiple of 8, not {getattr(config, name)}"
        for name in ("min_key_bits", "default_key_bits", "max_key_bits")
        if getattr(config, name) % 8
    ]
    if not 1 <= config.max_keys_per_request <= MOST_KEYS:
        faults.append(
            f"delivery.max_keys_per_request: must be 1 to {MOST_KEYS},"
            f" not {config.max_keys_per_request}"
        )
    return faults


def encode_keys(keys: list[DeliveredKey]) -> bytes:
    """A Key container; wipes the keys.

    The JSON text itself is left to the collector: what carries it to TLS may still refer to it.
    """
    container = KeyContainer([Key(str(item.key_id), item.key) for item in keys])
    try:
        return msgspec.json.encode(container)
    finally:
        for item in keys:
            item.wipe()


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise BadRequest(f"{name} shall be an integer")
    return int(text)


def _uuid(text: str) -> uuid.UUID:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise BadRequest("key_ID shall be a UUID")
    return uuid.UUID(text)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"request cannot be understood: {error}") from error


def _converted(values: dict[str, int], kind: type[T]) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"request cannot be understood: {error}") from error


def _store_failed() -> Unavailable:
    # What ails the disk is for the operator, not for an application.
    return Unavailable("error on server side")
